//! Canonical events on their way to a caller of another dialect: written whole, or event by event.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::StatusCode;
use mainstay_core::model::{Assembler, Completion, ModelStream};
use mainstay_core::{Ctx, RequestId};
use mainstay_dialects::Codec;
use mainstay_dialects::codec::{ReplyOptions, StreamEncoder};

use super::in_time;
use crate::call::Call;
use crate::error::{self, Result};
use crate::reply::{self, JSON};
use crate::sse;

/// How an answer is written.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    pub(super) codec: &'static Codec,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Begins the answer's id, where the provider gave none.
    pub(super) id_prefix: &'static str,
    pub(super) created_s: u64,
}

/// Writes the answer. Errors, for a whole one: what the events fail with; `DEADLINE_EXCEEDED`.
pub(super) async fn response(call: &Call, ctx: &Ctx, encoding: Encoding, events: ModelStream) -> Result {
    let request_id = call.request_id().clone();
    let Encoding { codec, include_usage, id_prefix, created_s, .. } = encoding;
    let options = ReplyOptions { id: format!("{id_prefix}{request_id}"), created_s, include_usage };
    if encoding.stream {
        let frames = Frames { events, encoder: (codec.encoder)(options), codec, request_id, ended: false };
        return Ok(sse::response(Box::pin(frames), &call.shared.telemetry, false));
    }
    let whole = in_time(ctx, assemble(events)).await?;
    Ok(reply::whole(StatusCode::OK, JSON, (codec.encode_response)(&whole, &options)))
}

async fn assemble(mut events: ModelStream) -> mainstay_core::Result<Completion> {
    let mut assembler = Assembler::default();
    while let Some(event) = events.next().await {
        assembler.push(&event?);
    }
    Ok(assembler.finish())
}

/// The frames of a stream. One that breaks ends with the dialect's own error event.
struct Frames {
    events: ModelStream,
    encoder: Box<dyn StreamEncoder>,
    codec: &'static Codec,
    request_id: RequestId,
    ended: bool,
}

impl Stream for Frames {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        while !this.ended {
            let frame = match ready!(this.events.as_mut().poll_next(cx)) {
                Some(Ok(event)) => this.encoder.push(&event),
                Some(Err(broken)) => {
                    this.ended = true;
                    error::log("model stream", &this.request_id, &broken);
                    (this.codec.encode_stream_error)(&broken, Some(this.request_id.as_str()))
                }
                None => {
                    this.ended = true;
                    this.encoder.end()
                }
            };
            if !frame.is_empty() {
                return Poll::Ready(Some(frame));
            }
        }
        Poll::Ready(None)
    }
}
