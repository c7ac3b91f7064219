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
mod connect;
mod https;
mod link;
mod pool;

use std::task::Poll;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body::Body as _;
use mainstay_core::{Error, codes};
use tower_service::Service as _;

use crate::guard::{Addresses, Refused};
pub use answer::AnswerBody;
pub use body::Body;
use connect::Connector;
use https::LazyHttps;
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
    connector: LazyHttps,
    connect_timeout: Duration,
    pool: Pool,
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
            connector: LazyHttps::new(Connector::new(options)),
            connect_timeout: options.connect_timeout,
            pool: Pool::new(options.idle_timeout, options.idle_per_host_max),
        }
    }

    /// Sends a request to its absolute URL and returns when the response's head is there. Dropping the future or the
    /// body ends the call at the other side. A pooled connection that the peer had closed is replaced without an error.
    ///
    /// # Errors
    /// [`SendError`] says whether the request can have reached the other side.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<AnswerBody>, SendError> {
        let url = request.uri().clone();
        let origin = Origin::of(&url).ok_or_else(|| SendError::Connect("the URL has no host".into()))?;
        aim(&mut request, &url, &origin)?;
        while let Some(mut link) = self.pool.take(&origin).await {
            match link.call(request).await {
                Ok(response) => return Ok(self.answer(response, link, origin).await),
                Err(Lost { unsent: Some(unsent), .. }) => request = unsent,
                Err(Lost { error, .. }) => return Err(SendError::Transport(Box::new(error))),
            }
        }
        let mut link = self.connect(url).await?;
        match link.call(request).await {
            Ok(response) => Ok(self.answer(response, link, origin).await),
            Err(lost) => Err(SendError::Transport(Box::new(lost.error))),
        }
    }

    async fn connect(&self, url: Uri) -> Result<Link, SendError> {
        let connecting = self.connector.clone().call(url);
        let stream = match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(unconnected)?,
            Err(_) => return Err(SendError::Connect("no connection within the connect timeout".into())),
        };
        Link::open(stream).await.map_err(|error| SendError::Connect(Box::new(error)))
    }

    async fn answer(
        &self,
        response: Response<hyper::body::Incoming>,
        link: Link,
        origin: Origin,
    ) -> Response<AnswerBody> {
        let (head, body) = response.into_parts();
        let is_over = body.is_end_stream();
        let mut body = AnswerBody::new(body, link, self.pool.clone(), origin);
        if is_over {
            std::future::poll_fn(|cx| {
                body.release(cx);
                Poll::Ready(())
            })
            .await;
        }
        Response::from_parts(head, body)
    }
}

/// Makes the request one to an origin server: the path alone on the first line, the host in its header.
fn aim(request: &mut Request<Body>, url: &Uri, origin: &Origin) -> Result<(), SendError> {
    if !request.headers().contains_key(HOST) {
        let host =
            HeaderValue::from_str(origin.host()).map_err(|error| SendError::Connect(Box::new(error)))?;
        request.headers_mut().insert(HOST, host);
    }
    let path = url.path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    Ok(())
}

fn unconnected(error: Box<dyn std::error::Error + Send + Sync>) -> SendError {
    match find_refused(&*error) {
        Some(refused) => SendError::Refused(refused.to_string()),
        None => SendError::Connect(error),
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
