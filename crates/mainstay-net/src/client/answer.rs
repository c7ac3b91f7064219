//! The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it, which is how a
//! call is cancelled at the other side.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::pool::{Origin, Pool};

/// A body as it arrives.
pub struct AnswerBody {
    body: Incoming,
    held: Option<Held>,
}

struct Held {
    link: Link,
    pool: Pool,
    origin: Origin,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").field("body", &self.body).finish_non_exhaustive()
    }
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, link: Link, pool: Pool, origin: Origin) -> Self {
        Self { body, held: Some(Held { link, pool, origin }) }
    }

    /// Gives the connection back, unless it has ended as well.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        let Some(Held { mut link, pool, origin }) = self.held.take() else { return };
        // It notices the end of the answer, and a wish of the other side to close.
        link.work(cx);
        if link.is_ready() {
            pool.put(&origin, link);
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.held {
            Some(held) => held.link.poll_frame(&mut this.body, cx),
            None => Pin::new(&mut this.body).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(None) => this.release(cx),
            Poll::Ready(Some(Ok(_))) if this.body.is_end_stream() => this.release(cx),
            Poll::Ready(Some(Err(_))) => this.held = None,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
