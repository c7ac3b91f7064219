//! The body of a call that may be made again: what of it has come is kept, one message at most, and every attempt gets
//! it from its beginning, and then what comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

use super::BoxError;

/// Bytes before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A body that is kept.
pub(super) struct Kept(Mutex<Source>);

struct Source {
    body: Body,
    sent: Vec<Bytes>,
    bytes_left: usize,
    messages: Messages,
    has_ended: bool,
    /// The attempt at work: what is left of those before it must not take what is for this one.
    attempt: u64,
    refusal: Option<Status>,
}

impl Kept {
    /// Of a message so many bytes are kept.
    pub(super) fn new(body: Body, bytes_max: usize) -> Self {
        Self(Mutex::new(Source {
            body,
            sent: Vec::new(),
            bytes_left: bytes_max.saturating_add(HEAD),
            messages: Messages::default(),
            has_ended: false,
            attempt: 0,
            refusal: None,
        }))
    }

    /// The body for another attempt.
    pub(super) fn again(kept: &Arc<Self>) -> Attempt {
        let mut source = kept.0.lock();
        source.attempt += 1;
        Attempt { kept: Arc::clone(kept), attempt: source.attempt, at: 0 }
    }

    /// Why the body cannot be sent, if it cannot.
    pub(super) fn refusal(&self) -> Option<Status> {
        self.0.lock().refusal.clone()
    }
}

/// The body as an attempt sends it.
pub(super) struct Attempt {
    kept: Arc<Kept>,
    attempt: u64,
    /// How many pieces it has sent.
    at: usize,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let kept = Arc::clone(&self.kept);
        let mut source = kept.0.lock();
        if source.attempt != self.attempt {
            return Poll::Ready(Some(Err("another attempt is made".into())));
        }
        if let Some(piece) = source.sent.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if source.has_ended {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(Pin::new(&mut source.body).poll_frame(cx)) else {
            source.has_ended = true;
            return Poll::Ready(None);
        };
        let piece = match frame?.into_data() {
            Ok(piece) => piece,
            Err(other) => return Poll::Ready(Some(Ok(other))),
        };
        if let Err(status) = source.keep(&piece) {
            source.refusal = Some(status.clone());
            return Poll::Ready(Some(Err(status.into())));
        }
        self.at += 1;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let source = self.kept.0.lock();
        source.has_ended && source.attempt == self.attempt && self.at >= source.sent.len()
    }
}

impl Source {
    /// Keeps a piece. Errors: it is of a second message, or the first is too large.
    fn keep(&mut self, piece: &Bytes) -> Result<(), Status> {
        if self.messages.count(piece) > 1 {
            let why = "cannot use resiliency policies with retries on streaming RPCs";
            return Err(Status::failed_precondition(why));
        }
        let Some(left) = self.bytes_left.checked_sub(piece.len()) else {
            return Err(Status::resource_exhausted("the message is larger than `max-body-size` allows"));
        };
        self.bytes_left = left;
        self.sent.push(piece.clone());
        Ok(())
    }
}

/// Counts messages.
#[derive(Default)]
struct Messages {
    head: [u8; HEAD],
    head_bytes: usize,
    /// Bytes that are to come of the present message.
    left: usize,
    count: u64,
}

impl Messages {
    /// How many have begun, with these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let of_this = self.left.min(bytes.len());
                self.left -= of_this;
                bytes = &bytes[of_this..];
                continue;
            }
            self.count += u64::from(self.head_bytes == 0);
            self.head[self.head_bytes] = *byte;
            self.head_bytes += 1;
            bytes = rest;
            if self.head_bytes == HEAD {
                let [_, length @ ..] = self.head;
                (self.left, self.head_bytes) = (u32::from_be_bytes(length) as usize, 0);
            }
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let check = |pieces: &[&[u8]], expect: u64| {
            let mut messages = Messages::default();
            let counts = pieces.iter().map(|piece| messages.count(piece));
            assert_eq!(counts.last(), Some(expect), "{pieces:?}");
        };
        check(&[b""], 0);
        check(&[b"\0\0\0\0\0"], 1);
        check(&[b"\0\0\0", b"\0\x02a", b"b"], 1);
        check(&[b"\0\0\0\0\x01a\0"], 2);
        check(&[b"\0\0\0\0\0\0\0\0\0\0"], 2);
        check(&[b"\x01\0\0\0\x03abc", b"\0\0\0\0\x01", b"a"], 2);
    }
}
