//! The accept loop: bounded connections, TCP_NODELAY, time limits, and a stop that lets open answers finish.
//! It routes nothing; the service does.

mod by_path;
mod connections;
mod unix;
mod watch;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sockets::SocketListener;
pub use by_path::ByPath;
use connections::{Connections, Entered, Order, drive};
pub use unix::serve_unix;
use watch::{Io, Watched};

/// The other end of a TCP connection, put into each request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, and who made it, where that has an address.
    fn next(&self) -> impl Future<Output = std::io::Result<(Self::Stream, Option<Peer>)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<(TcpStream, Option<Peer>)> {
        let (stream, peer) = self.accept().await?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Ok((stream, Some(Peer(peer))))
    }
}

impl Listener for SocketListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<(UnixStream, Option<Peer>)> {
        Ok((self.accept().await?, None))
    }
}

/// What a server asks of a service: any `tower` service that answers requests of HTTP and never fails is one.
pub trait HttpService:
    tower_service::Service<
        http::Request<Incoming>,
        Response = http::Response<<Self as HttpService>::Answer>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body of its answers.
    type Answer: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
}

impl<S, B> HttpService for S
where
    S: tower_service::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Answer = B;
}

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Longest time for a request's headers to arrive, the first of a connection from its opening.
    pub header_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// Longest time in which the peer takes nothing of an answer.
    pub write_timeout: Duration,
    /// Connections open at once; further ones wait in the listen queue.
    pub connections_max: u32,
    /// After the stop, how long connections may take to finish what they are answering.
    pub close_timeout: Duration,
}

/// HTTP/2 streams open at once on one connection.
const H2_STREAMS_MAX: u32 = 256;
/// Bytes read at once, and so of a request's head (RFC 9112 leaves the bound to us). Bodies up to this size mostly come
/// in one piece, which spares their readers a copy; a connection begins with 8 KiB and grows to what it is sent.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Pause after an accept failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `listener` until `stop`, then closes idle connections, lets busy ones finish and returns; what is still open
/// after `close_timeout` is cut.
pub async fn serve<L: Listener, S: HttpService>(
    listener: L,
    service: S,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let builder = Arc::new(connection_builder());
    let connections = Connections::default();
    let sweep = AbortOnDrop(tokio::spawn(connections.clone().sweep(options)));
    let permits = Arc::new(Semaphore::new(options.connections_max as usize));
    let tasks = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.next() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection =
            serve_connection(Arc::clone(&builder), stream, peer, service.clone(), connections.enter());
        tasks.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    connections.tell(Order::Finish);
    if tokio::time::timeout(options.close_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "cutting connections that did not finish in time");
        connections.tell(Order::Cut);
        tasks.wait().await;
    }
    drop(sweep);
}

/// A server at work. Generic code is compiled where it is put into one of these: a surface does that itself, so that
/// its connections are compiled with it, for speed, and not with the binary, which is built small.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A listener for the callers of this machine.
#[derive(Debug)]
pub enum Door {
    /// At a port.
    Port(TcpListener),
    /// At a socket; its clients may call it by its path.
    Socket(UnixListener),
}

/// [`serve`] at either listener.
pub fn serve_at<S: HttpService>(
    door: Door,
    service: S,
    options: ServeOptions,
    stop: CancellationToken,
) -> Serving {
    match door {
        Door::Port(listener) => Box::pin(serve(listener, service, options, stop)),
        Door::Socket(listener) => Box::pin(serve(ByPath(listener), service, options, stop)),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Timed by the watch, which also times what comes before hyper knows the version.
        .header_read_timeout(None)
        .max_buf_size(READ_BYTES_MAX)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn serve_connection<I, S>(
    builder: Arc<auto::Builder<TokioExecutor>>,
    stream: I,
    peer: Option<Peer>,
    service: S,
    entered: Entered,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let watch = Arc::clone(&entered.handle.watch);
    let io = TokioIo::new(Io { stream, watch: Arc::clone(&watch) });
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let busy = watch.request(request.version());
        let answer = service.clone().call(request);
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Watched { body, _busy: busy })) }
    });
    let connection = builder.serve_connection(io, service);
    let outcome = drive(connection, &entered.handle, |connection| connection.graceful_shutdown()).await;
    if let Err(error) = outcome {
        tracing::debug!(error = %error, "connection ended with an error");
    }
}

#[cfg(test)]
mod tests;
