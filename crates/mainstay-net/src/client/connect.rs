//! The TCP connector: resolves, applies the address guard to what was resolved, connects with TCP_NODELAY.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ClientOptions;
use crate::guard::{Addresses, Refused};

/// Addresses tried for one name.
const ADDRESSES_TRIED_MAX: usize = 8;

/// Opens TCP connections for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector {
    timeout: Duration,
    addresses: Addresses,
}

impl Connector {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self { timeout: options.connect_timeout, addresses: options.addresses }
    }

    async fn connect(self, uri: http::Uri) -> io::Result<TokioIo<TcpStream>> {
        let attempt = async {
            let host = uri
                .host()
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the URL has no host"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
            let resolved: Vec<SocketAddr> =
                tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_TRIED_MAX).collect();
            // One address that is not allowed condemns the name: a mixed answer is how a guard is probed.
            if let Some(bad) = resolved.iter().find(|a| !self.addresses.allow(a.ip())) {
                return Err(io::Error::other(Refused { host: host.to_owned(), address: bad.ip() }));
            }
            connect_first(&resolved).await
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(done) => done,
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no connection within the connect timeout"))
            }
        }
    }
}

async fn connect_first(addresses: &[SocketAddr]) -> io::Result<TokioIo<TcpStream>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it, small writes wait for the peer's delayed ACK: 40 ms a request.
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(self.connect(uri))
    }
}
