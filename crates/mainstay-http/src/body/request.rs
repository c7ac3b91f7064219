//! The body of a request as it comes from a connection, or from elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

/// Whatever a body failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body.
#[derive(Debug)]
pub enum RequestBody {
    /// From a connection.
    Connection(Incoming),
    /// From anything else; tests use it.
    Other(UnsyncBoxBody<Bytes, BoxError>),
    /// None, or one that was taken.
    Empty,
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self::Connection(body)
    }
}

impl From<UnsyncBoxBody<Bytes, BoxError>> for RequestBody {
    fn from(body: UnsyncBoxBody<Bytes, BoxError>) -> Self {
        Self::Other(body)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Connection(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Other(body) => Pin::new(body).poll_frame(cx),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Connection(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Connection(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
