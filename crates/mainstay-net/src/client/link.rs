//! One HTTP/1.1 connection, worked by whoever waits for its answer. There is no task behind it: a call costs no hop
//! between tasks, dropping the call closes the connection, and nothing is read that nobody wants.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Body;

/// The stream below.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The connection. One pointer, for it moves from the pool to the call to the answer and back.
pub(super) struct Link(Box<Inner>);

struct Inner {
    sender: SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Connection<Stream, Body>>,
}

/// A call without an answer.
pub(super) struct Lost {
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Request<Body>>,
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`.
    pub(super) async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new().handshake(stream).await?;
        Ok(Self(Box::new(Inner { sender, connection: Some(connection) })))
    }

    /// Lets the connection read and write what it can.
    pub(super) fn work(&mut self, cx: &mut Context<'_>) {
        work(&mut self.0.connection, cx);
    }

    /// Whether it can take a request now: open, and done with the last answer.
    pub(super) fn is_ready(&self) -> bool {
        self.0.connection.is_some() && self.0.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn call(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let Inner { sender, connection } = &mut *self.0;
        let mut answer = pin!(sender.try_send_request(request));
        let answer = std::future::poll_fn(|cx| {
            // The answer is what the connection reads, so the connection goes first.
            work(connection, cx);
            answer.as_mut().poll(cx)
        });
        answer.await.map_err(|mut error| {
            let unsent = error.take_message();
            Lost { error: error.into_error(), unsent }
        })
    }

    /// The next frame of an answer's body that this connection reads.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<http_body::Frame<bytes::Bytes>>>> {
        use http_body::Body as _;
        // First what was read already; asking also tells the connection that more is wanted.
        let mut polled = Pin::new(&mut *body).poll_frame(cx);
        if polled.is_pending() {
            self.work(cx);
            polled = Pin::new(body).poll_frame(cx);
        }
        polled
    }
}

fn work(connection: &mut Option<Connection<Stream, Body>>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|open| Pin::new(open).poll(cx).is_ready()) {
        *connection = None;
    }
}
