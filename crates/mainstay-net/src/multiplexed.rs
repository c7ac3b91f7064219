//! Calls over HTTP/2, many on a connection: the client for gRPC. Bodies pass both ways as they come, trailers included;
//! dropping an answer resets its stream.
//!
//! A connection is opened with the first call, and another when those open are busy, so that calls do not queue behind
//! the other side's limit of streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;

use crate::client::connect::Connector;
use crate::client::{ClientOptions, SendError};
use crate::sockets::Sockets;

/// Connections of a channel.
const CONNECTIONS_MAX: usize = 8;
/// Calls on a connection before another is opened: what servers commonly allow (RFC 9113 asks for at least 100).
const BUSY: usize = 100;
/// How often an idle peer is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The way to one server; cheap to clone.
pub struct Channel<B>(Arc<Inner<B>>);

struct Inner<B> {
    connector: Connector,
    url: Uri,
    open: Mutex<Vec<Connection<B>>>,
    /// Held while a connection is opened, so that calls at once open one.
    opening: tokio::sync::Mutex<()>,
}

struct Connection<B> {
    sender: SendRequest<B>,
    /// Shared with every answer that is not over.
    busy: Arc<()>,
}

impl<B> Clone for Channel<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> std::fmt::Debug for Channel<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("url", &self.0.url).finish_non_exhaustive()
    }
}

impl<B> Channel<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// A channel to the server at `url`. Over TLS as `tls` says, where the URL asks for it; it should offer `h2`.
    #[must_use]
    pub fn new(url: Uri, options: ClientOptions, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let connector = Connector::new(options);
        Self::over(if let Some(tls) = tls { connector.with_tls(tls) } else { connector }, url)
    }

    /// A channel to a Unix socket: `url`'s host is its name.
    #[must_use]
    pub fn to_socket(url: Uri, options: ClientOptions, sockets: Sockets) -> Self {
        Self::over(Connector::new(options).over_sockets(sockets), url)
    }

    fn over(connector: Connector, url: Uri) -> Self {
        Self(Arc::new(Inner {
            connector,
            url,
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }))
    }

    /// Returns when a connection is open that can take a request.
    ///
    /// # Errors
    /// [`SendError::Connect`] when none can be opened.
    pub async fn ready(&self) -> Result<(), SendError> {
        self.connection().await.map(drop)
    }

    /// Sends a request, of whose URL the path counts, and returns when the answer's head is there. A connection that
    /// ended before it took anything of the request is replaced without an error.
    ///
    /// # Errors
    /// [`SendError`] says whether the request can have reached the other side.
    pub async fn send(&self, request: Request<B>) -> Result<Response<Answer>, SendError> {
        let mut request = self.addressed(request)?;
        loop {
            let (mut sender, busy) = self.connection().await?;
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer.map(|body| Answer { body, _busy: busy })),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Transport(Box::new(failed.into_error()))),
                },
            }
        }
    }

    fn addressed(&self, mut request: Request<B>) -> Result<Request<B>, SendError> {
        let mut parts = self.0.url.clone().into_parts();
        let path = request.uri().path_and_query().cloned();
        parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| SendError::Connect(Box::new(error)))?;
        *request.version_mut() = Version::HTTP_2;
        Ok(request)
    }

    /// The connection that has least to do, or a new one where all have much.
    async fn connection(&self) -> Result<(SendRequest<B>, Arc<()>), SendError> {
        if let Some(found) = self.0.idlest(BUSY) {
            return Ok(found);
        }
        let _opening = self.0.opening.lock().await;
        if let Some(found) = self.0.idlest(BUSY) {
            return Ok(found);
        }
        if self.0.open.lock().len() >= CONNECTIONS_MAX
            && let Some(found) = self.0.idlest(usize::MAX)
        {
            return Ok(found);
        }
        let stream = self.0.connector.connect(self.0.url.clone()).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(PING.0))
            .keep_alive_timeout(PING.1)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::Connect(Box::new(error)))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
        let busy = Arc::new(());
        self.0.open.lock().push(Connection { sender: sender.clone(), busy: Arc::clone(&busy) });
        Ok((sender, busy))
    }
}

impl<B> Inner<B> {
    /// The connection with the fewest calls, if they are fewer than `below`. Those that have ended are forgotten.
    fn idlest(&self, below: usize) -> Option<(SendRequest<B>, Arc<()>)> {
        let mut open = self.open.lock();
        open.retain(|connection| !connection.sender.is_closed());
        let least = open.iter().min_by_key(|connection| Arc::strong_count(&connection.busy))?;
        (Arc::strong_count(&least.busy) <= below).then(|| (least.sender.clone(), Arc::clone(&least.busy)))
    }
}

impl<B> tower_service::Service<Request<B>> for Channel<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await })
    }
}

/// The body of an answer, as it arrives.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    _busy: Arc<()>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
