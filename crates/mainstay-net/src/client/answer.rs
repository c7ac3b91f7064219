//! The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it, which is how a
//! call is cancelled at the other side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::framing::Framing;
use super::link::Link;
use super::pool::{Origin, Pool};
use crate::multiplexed;

/// A body as it arrives.
pub struct AnswerBody {
    /// None once the answer is over.
    held: Option<Held>,
    /// Where it comes over HTTP/2.
    multiplexed: Option<Box<multiplexed::Answer>>,
}

struct Held {
    link: Link,
    pool: Pool,
    origin: Origin,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").field("over", &self.held.is_none()).finish_non_exhaustive()
    }
}

impl AnswerBody {
    pub(super) fn new(link: Link, pool: Pool, origin: Origin) -> Self {
        let mut body = Self { held: Some(Held { link, pool, origin }), multiplexed: None };
        body.release();
        body
    }

    pub(super) fn multiplexed(answer: multiplexed::Answer) -> Self {
        Self { held: None, multiplexed: Some(Box::new(answer)) }
    }

    /// Gives the connection back if the answer is over.
    fn release(&mut self) {
        if self.held.as_ref().is_some_and(|held| !held.link.framing().is_over()) {
            return;
        }
        let Some(Held { link, pool, origin }) = self.held.take() else { return };
        if let Some(link) = link.freed() {
            pool.put(&origin, link);
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(answer) = &mut self.multiplexed {
            return Pin::new(answer).poll_frame(cx).map_err(io::Error::other);
        }
        let Some(held) = &mut self.held else { return Poll::Ready(None) };
        let polled = ready!(held.link.poll_body(cx));
        self.release();
        Poll::Ready(polled.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.multiplexed.as_ref().is_none_or(|answer| answer.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(answer) = &self.multiplexed {
            return answer.size_hint();
        }
        match self.held.as_ref().map(|held| held.link.framing()) {
            None => SizeHint::with_exact(0),
            Some(Framing::Length(left)) => SizeHint::with_exact(*left),
            Some(_) => SizeHint::default(),
        }
    }
}
