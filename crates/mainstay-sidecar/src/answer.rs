//! Answers: a status, headers, and a body that is at hand.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use mainstay_blocks::door::Place;
use mainstay_core::BoxStream;
use mainstay_dapr::Fault;
use mainstay_net::client::AnswerBody;
use serde::Serialize;

/// An answer.
pub(crate) type Answer = http::Response<Body>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// At hand; empty when spent.
    Whole(Bytes),
    /// Passed on as it comes, with the place that it keeps meanwhile.
    Passed(AnswerBody, Option<Place>),
    /// Made as it goes out. An error in it cuts the answer.
    Streamed(Streamed),
}

/// Pieces of a body that is made as it goes out.
pub struct Streamed(BoxStream<std::io::Result<Bytes>>);

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streamed")
    }
}

impl Body {
    /// A body of these pieces.
    pub(crate) fn streamed(pieces: BoxStream<std::io::Result<Bytes>>) -> Self {
        Self::Streamed(Streamed(pieces))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Passed(body, _) => Pin::new(body).poll_frame(cx),
            Self::Streamed(body) => body.0.as_mut().poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Passed(body, _) => body.is_end_stream(),
            Self::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Passed(body, _) => body.size_hint(),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}

/// No content.
pub(crate) fn empty() -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Bytes that are JSON.
pub(crate) fn json_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Body::Whole(bytes.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    json_bytes(
        StatusCode::OK,
        serde_json::to_vec(value).expect("the types of this surface have string keys only"),
    )
}

/// A failure.
pub(crate) fn fault(fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(fault.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_bytes(status, fault.json().to_string())
}

/// A line of text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Answer::new(Body::Whole(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, TEXT);
    answer
}

/// Adds what a component says besides, as `metadata.<name>`.
pub(crate) fn metadata(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::try_from(format!("metadata.{name}"));
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
