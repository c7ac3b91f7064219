//! The connector: resolves, applies the address guard to what was resolved, connects with TCP_NODELAY, and speaks TLS
//! where the URL says so. Or it connects to a Unix socket, whose name is the URL's host.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use super::{ClientOptions, SendError};
use crate::guard::{Addresses, Refused};
use crate::sockets::Sockets;

/// Addresses tried for one name.
const ADDRESSES_TRIED_MAX: usize = 8;

/// Opens connections for a client.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    timeout: Duration,
    addresses: Addresses,
    /// How TLS is spoken, where not as usual.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Where hosts are names of sockets.
    sockets: Option<Sockets>,
}

impl Connector {
    pub(crate) fn new(options: ClientOptions) -> Self {
        let (timeout, addresses) = (options.connect_timeout, options.addresses);
        Self { timeout, addresses, tls: None, sockets: None }
    }

    pub(crate) fn with_tls(self, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    pub(crate) fn over_sockets(self, sockets: Sockets) -> Self {
        Self { sockets: Some(sockets), ..self }
    }

    /// A connection to the host of an `http` or `https` URL. Errors: `Refused` for an address that is not allowed,
    /// otherwise `Connect`.
    pub(crate) async fn connect(&self, url: Uri) -> Result<Stream, SendError> {
        // Boxed: a call that finds a pooled connection does not carry the handshake's state.
        let connecting = Box::pin(self.open(&url));
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(opened) => opened,
            Err(_) => Err(SendError::Connect("no connection within the connect timeout".into())),
        }
    }

    async fn open(&self, url: &Uri) -> Result<Stream, SendError> {
        let host = url.host().ok_or_else(|| SendError::Connect("the URL has no host".into()))?;
        if let Some(sockets) = &self.sockets {
            return Ok(Stream::Unix(sockets.connect(host).await.map_err(unconnected)?));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = url.scheme_str() == Some("https");
        let tcp = self.tcp(host, url.port_u16().unwrap_or(if is_tls { 443 } else { 80 })).await?;
        if !is_tls {
            return Ok(Stream::Tcp(tcp));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(unconnected)?;
        let config = self.tls.clone().unwrap_or_else(crate::tls::client_config);
        let tls = TlsConnector::from(config).connect(name, tcp).await;
        Ok(Stream::Tls(Box::new(tls.map_err(unconnected)?)))
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, SendError> {
        let found = tokio::net::lookup_host((host, port)).await.map_err(unconnected)?;
        let resolved: Vec<SocketAddr> = found.take(ADDRESSES_TRIED_MAX).collect();
        // One address that is not allowed condemns the name: a mixed answer is how a guard is probed.
        if let Some(bad) = resolved.iter().find(|a| !self.addresses.allow(a.ip())) {
            let refused = Refused { host: host.to_owned(), address: bad.ip() };
            return Err(SendError::Refused(refused.to_string()));
        }
        connect_first(&resolved).await.map_err(unconnected)
    }
}

async fn connect_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it, small writes wait for the peer's delayed ACK: 40 ms a request.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unconnected(error: impl std::error::Error + Send + Sync + 'static) -> SendError {
    SendError::Connect(Box::new(error))
}
