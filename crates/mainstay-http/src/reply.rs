//! Answers as handlers make them: a status, headers, and a body that is whole or comes piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use mainstay_core::BoxStream;
use mainstay_core::middleware::Pieces;
use serde::Serialize;

use crate::ticket::Ticket;

/// An answer.
pub(crate) type Response = http::Response<Payload>;

/// The body of an answer. What goes wrong while one of ours streams is said in the stream itself.
pub(crate) enum Payload {
    /// All of it; empty when spent.
    Whole(Bytes),
    /// Pieces, none empty.
    Stream(BoxStream<Bytes>),
    /// An app's, as it comes. An error in it cuts the connection, so that no half is taken for a whole.
    Passed {
        /// What comes.
        pieces: Pieces,
        /// How many bytes are to come, where that is known.
        left: Option<u64>,
    },
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
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match &mut self.payload {
            Payload::Whole(bytes) if bytes.is_empty() => None,
            Payload::Whole(bytes) => Some(std::mem::take(bytes)),
            Payload::Stream(pieces) => ready!(pieces.as_mut().poll_next(cx)),
            Payload::Passed { pieces, left } => {
                let next = ready!(pieces.as_mut().poll_next(cx)).transpose()?;
                if let (Some(left), Some(piece)) = (left, &next) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                next
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Whole(bytes) => bytes.is_empty(),
            Payload::Stream(_) => false,
            Payload::Passed { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Passed { left: Some(left), .. } => SizeHint::with_exact(*left),
            Payload::Stream(_) | Payload::Passed { left: None, .. } => SizeHint::default(),
        }
    }
}
