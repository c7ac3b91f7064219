//! A provider's own bytes on their way to the caller: frames of a stream as they come; a whole answer in one piece, so
//! that one that breaks off is an error and not half an answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use mainstay_core::provider::{WireFrame, WireResponse};
use mainstay_core::{BoxStream, Ctx, Error, RequestId, codes};
use mainstay_dialects::Codec;

use super::in_time;
use crate::call::Call;
use crate::error::{self, Result};
use crate::reply::{self, JSON};
use crate::request_id;
use crate::sse;

/// Largest answer that is not a stream, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Headers that are the connection's, or that we set ourselves.
const OURS: [HeaderName; 14] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::DATE,
    header::SERVER,
    header::SET_COOKIE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ALT_SVC,
    header::STRICT_TRANSPORT_SECURITY,
    header::CACHE_CONTROL,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::WWW_AUTHENTICATE,
];

/// Passes an answer on. Errors, for a whole answer: what the provider's stream failed with; `DEADLINE_EXCEEDED`.
pub(super) async fn passed_through(
    call: &Call,
    ctx: &Ctx,
    codec: &'static Codec,
    wire: WireResponse,
    stream: bool,
) -> Result {
    let WireResponse { status, headers, failure, body } = wire;
    let status = StatusCode::from_u16(status).map_err(|_| {
        Error::new(&codes::PROVIDER_BAD_RESPONSE, "read the provider's answer: it has no status")
    })?;
    let mut response = if stream && failure.is_none() && status.is_success() {
        let frames = Frames { body, codec, request_id: call.request_id().clone(), ended: false };
        sse::response(Box::pin(frames), &call.shared.telemetry, false)
    } else {
        reply::whole(status, JSON, in_time(ctx, collect(body)).await?)
    };
    pass_headers(headers, response.headers_mut());
    Ok(response)
}

async fn collect(mut frames: BoxStream<mainstay_core::Result<WireFrame>>) -> mainstay_core::Result<Bytes> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = frames.next().await {
        let piece = frame?.bytes;
        if first.len() + joined.len() + piece.len() > ANSWER_BYTES_MAX {
            let message = format!("read the provider's answer: it is larger than {ANSWER_BYTES_MAX} bytes");
            return Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, message));
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// Adds the provider's headers. Its request ids go by another name: the answer's id is ours.
fn pass_headers(theirs: Vec<(String, String)>, ours: &mut HeaderMap) {
    for (name, value) in theirs {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            continue;
        };
        if OURS.contains(&name) {
            continue;
        }
        if name == request_id::HEADER || name == "request-id" {
            ours.insert("x-upstream-request-id", value);
        } else if name == header::CONTENT_TYPE {
            ours.insert(name, value);
        } else {
            ours.append(name, value);
        }
    }
}

/// The frames of a stream. One that breaks ends with the dialect's own error event.
struct Frames {
    body: BoxStream<mainstay_core::Result<WireFrame>>,
    codec: &'static Codec,
    request_id: RequestId,
    ended: bool,
}

impl Stream for Frames {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        while !this.ended {
            match ready!(this.body.as_mut().poll_next(cx)) {
                Some(Ok(frame)) if frame.bytes.is_empty() => {}
                Some(Ok(frame)) => return Poll::Ready(Some(frame.bytes)),
                Some(Err(broken)) => {
                    this.ended = true;
                    error::log("model stream", &this.request_id, &broken);
                    let frame = (this.codec.encode_stream_error)(&broken, Some(this.request_id.as_str()));
                    return Poll::Ready(Some(frame));
                }
                None => this.ended = true,
            }
        }
        Poll::Ready(None)
    }
}
