//! HTTP clients. `Client` is for calls on the request path: pooled HTTP/1.1 connections, no redirects, no cookies, the
//! body streamed as it comes; dropping a response closes its connection, which is how a call is cancelled upstream.
//! `download_client` is for convenience calls such as fetching a model.
//!
//! HTTP/1.1 on purpose: hyper-util opens one HTTP/2 connection per host, on which calls queue silently beyond the
//! peer's stream limit.

mod connect;
mod https;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mainstay_core::{Error, codes};

use crate::guard::{Addresses, Refused};
use connect::Connector;
use https::LazyHttps;

/// What a [`Client`] may do.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Longest wait for a connection (name resolution, TCP and TLS together).
    pub connect_timeout: Duration,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// Idle connections kept per host.
    pub idle_per_host_max: usize,
    /// Where it may connect to.
    pub addresses: Addresses,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_per_host_max: 1024,
            addresses: Addresses::Any,
        }
    }
}

/// A pooled client; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<LazyHttps, Full<Bytes>>);

/// Why no response came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The address is not allowed.
    #[error("{0}")]
    Refused(String),
    /// No connection was made, so the request was not sent.
    #[error("cannot connect")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection failed after the request was under way.
    #[error("the connection failed")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SendError {
    /// The whole chain of causes in one line, for logs.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl Client {
    /// A client with its own pool.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.idle_per_host_max)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(LazyHttps::new(Connector::new(options)));
        Self(client)
    }

    /// Sends a request and returns when the response's head is there. Dropping the future or the body ends the call at
    /// the other side. A pooled connection that the peer had closed is replaced without an error.
    ///
    /// # Errors
    /// [`SendError`] says whether the request can have reached the other side.
    pub async fn send(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, SendError> {
        self.0.request(request).await.map_err(classify)
    }
}

fn classify(error: legacy::Error) -> SendError {
    if let Some(refused) = find_refused(&error) {
        return SendError::Refused(refused.to_string());
    }
    if error.is_connect() {
        SendError::Connect(Box::new(error))
    } else {
        SendError::Transport(Box::new(error))
    }
}

fn find_refused<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        // An `io::Error` keeps its payload out of `source()`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) =
            inner.and_then(|e| (e as &(dyn std::error::Error + 'static)).downcast_ref::<Refused>())
        {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// A client for downloads and other calls off the request path: redirects, proxy variables, the system's roots.
///
/// # Errors
/// `INTERNAL` when the TLS stack cannot be set up.
pub fn download_client() -> Result<reqwest::Client, Error> {
    let roots = crate::tls::root_certificates();
    let certificates = roots.iter().filter_map(|der| reqwest::Certificate::from_der(der).ok());
    // Fails only when another provider is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .tls_certs_only(certificates)
        .connect_timeout(Duration::from_secs(15))
        .read_timeout(Duration::from_secs(60))
        .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Error::new(&codes::INTERNAL, "set up the download client").with_source(e))
}

#[cfg(test)]
mod tests;
