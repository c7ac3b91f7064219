//! One HTTP/1.1 connection, worked by whoever waits for its answer. There is no task behind it and no channel: a call
//! costs no hop between tasks, dropping the call closes the connection, and nothing is read that nobody wants.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Response;
use tokio::io::AsyncWrite as _;
use tokio_util::io::poll_read_buf;

use super::body::More;
use super::framing::Framing;
use super::head::{self, Outgoing};
use super::stream::Stream;

/// Room for what is read at once, in bytes, where no more is known to come.
const READ_BYTES: usize = 8 << 10;
/// Room for what is read at once of a body whose length is known.
const READ_BYTES_MAX: usize = 128 << 10;
/// Below this there is too little room to read into.
const ROOM_BYTES_MIN: usize = 1 << 10;
/// Pieces written at once.
const PIECES_WRITTEN_MAX: usize = 8;

/// The connection. One pointer, for it moves from the pool to the call to the answer and back.
pub(super) struct Link(Box<Inner>);

struct Inner {
    stream: Stream,
    /// What is still to be written of the request.
    outgoing: VecDeque<Bytes>,
    /// What of it is still to come.
    more: Option<More>,
    /// Whether any of what was to come has been taken: then it cannot be sent again.
    has_taken: bool,
    /// Whether bytes were handed to the stream that it may still hold.
    must_flush: bool,
    /// Whether anything of the request was written.
    has_written: bool,
    /// What has come and was not taken yet.
    incoming: BytesMut,
    /// What is left of the answer's body.
    framing: Framing,
    /// Whether it takes another request when the answer is over.
    keep: bool,
    /// Whether room was made for a large body.
    is_large: bool,
}

/// A call without an answer.
pub(super) struct Lost {
    pub(super) error: io::Error,
    /// The request, if the other side can have seen nothing of it.
    pub(super) unsent: Option<Outgoing>,
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`.
    pub(super) fn new(stream: Stream) -> Self {
        Self(Box::new(Inner {
            stream,
            outgoing: VecDeque::new(),
            more: None,
            has_taken: false,
            must_flush: false,
            has_written: false,
            incoming: BytesMut::new(),
            framing: Framing::Over,
            keep: true,
            is_large: false,
        }))
    }

    /// Whether the connection is still open between two calls: nothing may come there but its end.
    pub(super) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.poll_read(cx).is_pending()
    }

    /// The connection, where it can take another request: done with the last one and its answer.
    pub(super) fn freed(mut self) -> Option<Self> {
        let Inner { outgoing, more, must_flush, incoming, framing, keep, is_large, .. } = &mut *self.0;
        let is_sent = outgoing.is_empty() && more.is_none() && !*must_flush;
        if !(*keep && framing.is_over() && is_sent && incoming.is_empty()) {
            return None;
        }
        if std::mem::take(is_large) {
            *incoming = BytesMut::new();
        }
        Some(self)
    }

    /// Sends a request and waits for the head of its answer. The rest of the request may be sent later, where the
    /// answer comes first.
    pub(super) async fn call(&mut self, request: Outgoing) -> Result<Response<()>, Lost> {
        let inner = &mut *self.0;
        let is_head = request.is_head;
        (inner.outgoing, inner.more) = (request.pieces, request.more);
        (inner.has_written, inner.has_taken, inner.keep) = (false, false, false);
        std::future::poll_fn(|cx| inner.poll_head(cx, is_head)).await.map_err(|error| {
            let (pieces, more) = (std::mem::take(&mut inner.outgoing), inner.more.take());
            let can_be_sent = !inner.has_written && !inner.has_taken;
            Lost { error, unsent: can_be_sent.then_some(Outgoing { pieces, more, is_head }) }
        })
    }

    /// What comes next of an answer's body; `None` at its end. Errors: it breaks off.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_body(cx)
    }

    /// What is left of an answer's body.
    pub(super) fn framing(&self) -> &Framing {
        &self.0.framing
    }
}

impl Inner {
    fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<io::Result<Response<()>>> {
        let unwritten = match self.poll_write(cx) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        };
        if !self.has_written
            && let Some(error) = unwritten
        {
            return Poll::Ready(Err(error));
        }
        let lost = loop {
            if let Some(answer) = head::take(&mut self.incoming, to_head)? {
                (self.framing, self.keep) = (answer.framing, answer.keep && unwritten.is_none());
                return Poll::Ready(Ok(answer.head));
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    break io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed without an answer");
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => break error,
                Poll::Pending if unwritten.is_none() => return Poll::Pending,
                Poll::Pending => break io::ErrorKind::BrokenPipe.into(),
            }
        };
        // Whoever stops listening may have answered before: only without an answer is that the reason.
        Poll::Ready(Err(unwritten.unwrap_or(lost)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let has_more = !self.outgoing.is_empty() || self.more.is_some() || self.must_flush;
        if has_more && matches!(self.poll_write(cx), Poll::Ready(Err(_))) {
            // The answer goes on; that the request was not wanted whole is the other side's choice.
            self.outgoing.clear();
            (self.more, self.must_flush, self.keep) = (None, false, false);
        }
        loop {
            let taken = match self.framing.take(&mut self.incoming) {
                Ok(taken) => taken,
                Err(error) => return self.fail(error),
            };
            if taken.is_some() {
                return Poll::Ready(taken.map(Ok));
            }
            if self.framing.is_over() {
                return Poll::Ready(None);
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) if matches!(self.framing, Framing::UntilClose) => self.framing = Framing::Over,
                Ok(0) => {
                    let what = "it was closed before its answer was over";
                    return self.fail(io::Error::new(io::ErrorKind::UnexpectedEof, what));
                }
                Ok(_) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: io::Error) -> Poll<Option<io::Result<Bytes>>> {
        (self.framing, self.keep) = (Framing::Over, false);
        Poll::Ready(Some(Err(error)))
    }

    /// Writes what there is, and what comes, until the request is sent whole.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_pieces(cx))?;
            match &mut self.more {
                Some(more) => match more.poll_next(cx) {
                    Poll::Ready(Some(pieces)) => {
                        self.has_taken = true;
                        self.outgoing.extend(pieces?);
                    }
                    Poll::Ready(None) => self.more = None,
                    Poll::Pending => {
                        // The other side may wait for what it has not seen yet before more of it comes.
                        ready!(self.poll_flush(cx))?;
                        return Poll::Pending;
                    }
                },
                None => return self.poll_flush(cx),
            }
        }
    }

    fn poll_write_pieces(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES_WRITTEN_MAX];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.outgoing) {
                (*slice, count) = (IoSlice::new(piece), count + 1);
            }
            let mut written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            (self.has_written, self.must_flush) = (true, true);
            while let Some(first) = self.outgoing.front_mut() {
                let part = written.min(first.len());
                first.advance(part);
                written -= part;
                if !first.is_empty() {
                    break;
                }
                self.outgoing.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.must_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let expected = usize::try_from(self.framing.expected()).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        let room = self.incoming.capacity() - self.incoming.len();
        if room < ROOM_BYTES_MIN.max(expected) {
            self.is_large |= expected > READ_BYTES;
            self.incoming.reserve(expected.max(READ_BYTES));
        }
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.incoming)
    }
}
