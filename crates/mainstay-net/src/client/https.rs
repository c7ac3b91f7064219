//! TLS over the TCP connector, set up at the first `https` call: reading the host's roots takes milliseconds that a
//! start without such a call should not pay.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::connect::Connector;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens plain and TLS connections.
#[derive(Clone, Debug)]
pub(super) struct LazyHttps {
    tcp: Connector,
    tls: Arc<OnceLock<HttpsConnector<Connector>>>,
}

impl LazyHttps {
    pub(super) fn new(tcp: Connector) -> Self {
        Self { tcp, tls: Arc::default() }
    }

    fn tls(&self) -> HttpsConnector<Connector> {
        let build = || {
            hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config((*crate::tls::client_config()).clone())
                .https_or_http()
                .enable_http1()
                .wrap_connector(self.tcp)
        };
        self.tls.get_or_init(build).clone()
    }
}

impl Service<http::Uri> for LazyHttps {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        if uri.scheme_str() == Some("https") {
            return Box::pin(self.tls().call(uri));
        }
        let connecting = self.tcp.call(uri);
        Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
    }
}
