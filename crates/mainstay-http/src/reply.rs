//! Answers as handlers make them: a status, headers, and a body that is whole or comes piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use mainstay_core::BoxStream;
use serde::Serialize;

use crate::ticket::Ticket;

/// An answer.
pub(crate) type Response = http::Response<Payload>;

/// The body of an answer. What goes wrong while it streams is said in the stream itself, so it has no error.
pub(crate) enum Payload {
    /// All of it; empty when spent.
    Whole(Bytes),
    /// Pieces, none empty.
    Stream(BoxStream<Bytes>),
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(crate) const MARKDOWN: HeaderValue = HeaderValue::from_static("text/markdown; charset=utf-8");

/// An answer of 200 and a body as JSON.
pub(crate) fn json(body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("the types of this surface have string keys only");
    whole(StatusCode::OK, JSON, body)
}

/// An answer with a whole body.
pub(crate) fn whole(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Payload::Whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Payload::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A payload that holds its request's ticket until its end; a stream also holds its place among those in flight.
pub struct Tracked {
    payload: Payload,
    _ticket: Ticket,
}

impl Tracked {
    pub(crate) fn new(payload: Payload, mut ticket: Ticket) -> Self {
        // The work is done; how fast the caller reads it is the connection's affair, which has its own limits.
        if let Payload::Whole(_) = &payload {
            ticket.give_back();
        }
        Self { payload, _ticket: ticket }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.payload {
            Payload::Whole(bytes) if bytes.is_empty() => None,
            Payload::Whole(bytes) => Some(std::mem::take(bytes)),
            Payload::Stream(pieces) => ready!(pieces.as_mut().poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.payload, Payload::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Stream(_) => SizeHint::default(),
        }
    }
}
