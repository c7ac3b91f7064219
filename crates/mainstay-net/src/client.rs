//! HTTP clients. `Client` is for calls on the request path: pooled HTTP/1.1 connections, no redirects, no cookies, the
//! body streamed as it comes; dropping a response closes its connection, which is how a call is cancelled upstream. Its
//! connections are worked by the calls themselves, without tasks and channels between (measured: see the gateway's
//! benchmark).
//! `download_client` is for convenience calls such as fetching a model.
//!
//! HTTP/1.1 on purpose: hyper-util opens one HTTP/2 connection per host, on which calls queue silently beyond the
//! peer's stream limit.

mod answer;
mod body;
pub(crate) mod connect;
mod framing;
mod head;
mod link;
mod pool;
pub(crate) mod stream;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use mainstay_core::{Error, codes};

use crate::guard::Addresses;
use crate::multiplexed::Channel;
use crate::sockets::Sockets;
pub use answer::AnswerBody;
pub use body::Body;
use connect::Connector;
use head::Outgoing;
use link::{Link, Lost};
use pool::{Origin, Pool};

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
#[derive(Clone)]
pub struct Client {
    connector: Connector,
    pool: Pool,
    /// Where the one server that it is for speaks HTTP/2 alone.
    channel: Option<Channel<Body>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

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
        Self {
            connector: Connector::new(options),
            pool: Pool::new(options.idle_timeout, options.idle_per_host_max),
            channel: None,
        }
    }

    /// A client for one server, which is spoken to over HTTP/2.
    #[must_use]
    pub fn over(channel: Channel<Body>) -> Self {
        Self { channel: Some(channel), ..Self::new(ClientOptions::default()) }
    }

    /// A client that speaks TLS in a way of its own, with its own pool.
    #[must_use]
    pub fn with_tls(options: ClientOptions, tls: Arc<rustls::ClientConfig>) -> Self {
        let client = Self::new(options);
        Self { connector: client.connector.with_tls(tls), ..client }
    }

    /// A client for Unix sockets: a URL's host is a socket's name. With its own pool.
    #[must_use]
    pub fn to_sockets(options: ClientOptions, sockets: Sockets) -> Self {
        let client = Self::new(options);
        Self { connector: client.connector.over_sockets(sockets), ..client }
    }

    /// Sends a request to its absolute URL and returns when the response's head is there. Dropping the future or the
    /// body ends the call at the other side. A pooled connection that the peer had closed is replaced without an error.
    ///
    /// # Errors
    /// [`SendError`] says whether the request can have reached the other side.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<AnswerBody>, SendError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.send(request).await?.map(AnswerBody::multiplexed));
        }
        let url = request.uri().clone();
        let origin = Origin::of(&url).ok_or_else(|| SendError::Connect("the URL has no host".into()))?;
        let mut outgoing = Outgoing::new(request, origin.host());
        while let Some(mut link) = self.pool.take(&origin).await {
            match link.call(outgoing).await {
                Ok(head) => return Ok(self.answer(head, link, origin)),
                Err(Lost { unsent: Some(unsent), .. }) => outgoing = unsent,
                Err(lost) => return Err(SendError::Transport(Box::new(lost.error))),
            }
        }
        let mut link = Link::new(self.connector.connect(url).await?);
        match link.call(outgoing).await {
            Ok(head) => Ok(self.answer(head, link, origin)),
            Err(lost) => Err(SendError::Transport(Box::new(lost.error))),
        }
    }

    fn answer(&self, head: Response<()>, link: Link, origin: Origin) -> Response<AnswerBody> {
        head.map(|()| AnswerBody::new(link, self.pool.clone(), origin))
    }
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
