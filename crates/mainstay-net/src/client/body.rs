//! The body of a request: pieces that are written one after the other, not joined first, and perhaps more that come
//! while it is sent. A large body with a small cut in it (another model's name) is sent without being copied.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use mainstay_core::BoxStream;

/// A body.
#[derive(Default)]
pub struct Body {
    /// None is empty.
    pieces: VecDeque<Bytes>,
    /// What comes after the pieces.
    more: Option<More>,
}

/// What comes while a body is sent.
pub(super) struct More {
    /// The rest, until its end. An error in it ends the call: the other side must not take half a body for a whole one.
    stream: Option<BoxStream<io::Result<Bytes>>>,
    /// How long the rest still is; chunked where that is not known.
    length: Option<u64>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.pieces.iter().map(Bytes::len).sum::<usize>();
        f.debug_struct("Body").field("bytes", &bytes).field("streams", &self.more.is_some()).finish()
    }
}

impl Body {
    /// A body that comes while it is sent, of this length where it is known. One that turns out to have another length,
    /// or to fail, breaks the connection. A call with such a body is never sent again once any of it was taken.
    #[must_use]
    pub fn stream(stream: BoxStream<io::Result<Bytes>>, length: Option<u64>) -> Self {
        if length == Some(0) {
            return Self::default();
        }
        Self { pieces: VecDeque::new(), more: Some(More { stream: Some(stream), length }) }
    }

    /// Its length in bytes, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        let pieces: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        match &self.more {
            None => Some(pieces),
            Some(more) => more.length.map(|length| length + pieces),
        }
    }

    pub(super) fn into_parts(self) -> (VecDeque<Bytes>, Option<More>) {
        (self.pieces, self.more)
    }
}

impl More {
    /// The next pieces to write: what comes, in its chunk where the length is not known, and at the end the last chunk.
    /// `None` after that.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Vec<Bytes>>>> {
        loop {
            let next = match &mut self.stream {
                Some(stream) => ready!(stream.as_mut().poll_next(cx)),
                None => return Poll::Ready(None),
            };
            match next.transpose()? {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => return Poll::Ready(Some(self.framed(piece))),
                None => {
                    self.stream = None;
                    return Poll::Ready(match self.length {
                        None => Some(Ok(vec![Bytes::from_static(b"0\r\n\r\n")])),
                        Some(0) => None,
                        Some(_) => {
                            Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body is too short")))
                        }
                    });
                }
            }
        }
    }

    /// The next piece as it is, for a connection that frames what it sends by itself. Errors: the body has another
    /// length.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let next = ready!(stream.as_mut().poll_next(cx)).transpose()?;
        let Some(left) = &mut self.length else { return Poll::Ready(next.map(Ok)) };
        match (&next, left.checked_sub(next.as_ref().map_or(0, |piece| piece.len() as u64))) {
            (Some(_), Some(rest)) => *left = rest,
            (None, Some(0)) => {}
            _ => return Poll::Ready(Some(Err(io::Error::other("the body has another length than it said")))),
        }
        Poll::Ready(next.map(Ok))
    }

    fn framed(&mut self, piece: Bytes) -> io::Result<Vec<Bytes>> {
        let length = piece.len() as u64;
        let Some(left) = &mut self.length else {
            let line = Bytes::from(format!("{length:x}\r\n"));
            return Ok(vec![line, piece, Bytes::from_static(b"\r\n")]);
        };
        *left = left
            .checked_sub(length)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the body is longer than it said"))?;
        Ok(vec![piece])
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(more) = &mut self.more else { return Poll::Ready(None) };
        Poll::Ready(ready!(more.poll_piece(cx)).map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.more.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::from_iter([whole])
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(), more: None }
    }
}
