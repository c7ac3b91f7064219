//! What the model fronts share: the body is read once and kept as bytes; a target of the front's dialect gets those
//! bytes and its answer goes out as it came, any other is translated. It knows dialects by their tables only.

mod answer;
mod encode;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use mainstay_core::model::{ModelEvent, ModelStream};
use mainstay_core::{Ctx, Error, codes};
use mainstay_dialects::{Codec, Envelope};
use mainstay_gateway::{Answer, FrontRequest};

use crate::call::Call;
use crate::error::Result;
use encode::Encoding;

/// Headers of the caller that an answer depends on, by front.
pub(crate) type PassedOn = &'static [&'static str];

/// Names listed in the header of dropped fields.
const DROPPED_SHOWN_MAX: usize = 32;

/// Asks a model in the dialect of `codec`.
pub(crate) async fn ask(
    mut call: Call,
    codec: &'static Codec,
    id_prefix: &'static str,
    passed_on: PassedOn,
) -> Result {
    let body = call.json_bytes().await?;
    let envelope = (codec.envelope)(&body)?;
    let ctx = if envelope.stream { call.ctx.clone() } else { call.bounded_ctx() };
    let stream = envelope.stream;
    let encoding = Encoding {
        codec,
        stream,
        include_usage: !envelope.strip_usage,
        id_prefix,
        created_s: call.shared.clock.now_ms() / 1_000,
    };
    match dispatch(&call, &ctx, codec, &body, envelope, passed_on).await? {
        Answer::Wire(wire) => answer::passed_through(&call, &ctx, codec, wire, stream).await,
        Answer::Events(events) => {
            let (dropped, events) = dropped(events).await;
            let mut response = encode::response(&call, &ctx, encoding, events).await?;
            show(&dropped, response.headers_mut());
            Ok(response)
        }
    }
}

async fn dispatch(
    call: &Call,
    ctx: &Ctx,
    codec: &'static Codec,
    body: &Bytes,
    envelope: Envelope<'_>,
    passed_on: PassedOn,
) -> mainstay_core::Result<Answer> {
    let request = FrontRequest {
        dialect: codec.dialect,
        model: &envelope.model,
        body: body.clone(),
        model_span: envelope.model_span,
        edits: envelope.meter_edits,
        stream: envelope.stream,
        strip_usage: envelope.strip_usage,
        headers: passed_headers(call.headers(), passed_on),
        is_mixed: envelope.is_mixed,
        decode: &codec.decode_request,
    };
    call.shared.gateway.dispatch(ctx, request).await
}

/// Bounds the wait for the rest of a whole answer by the context's deadline; until its beginning the gateway does.
async fn in_time<T>(
    ctx: &Ctx,
    wait: impl Future<Output = mainstay_core::Result<T>>,
) -> mainstay_core::Result<T> {
    let Some(deadline) = ctx.deadline() else { return wait.await };
    tokio::time::timeout_at(deadline.into(), wait).await.unwrap_or_else(|_| {
        Err(Error::new(&codes::DEADLINE_EXCEEDED, "answer in time")
            .with_help("stream the answer, or raise `server.request_timeout`"))
    })
}

fn passed_headers(headers: &HeaderMap, names: PassedOn) -> Vec<(&'static str, String)> {
    let value = |name: &&'static str| Some((*name, headers.get(*name)?.to_str().ok()?.to_owned()));
    names.iter().filter_map(value).collect()
}

/// The fields that the target could not carry: what an answer begins with, if there are any. The gateway has waited for
/// its beginning.
async fn dropped(events: ModelStream) -> (Vec<String>, ModelStream) {
    let mut events = events.peekable();
    let names = match Pin::new(&mut events).next_if(|event| matches!(event, Ok(ModelEvent::Dropped(_)))).await
    {
        Some(Ok(ModelEvent::Dropped(names))) => names,
        _ => Vec::new(),
    };
    (names, Box::pin(events))
}

fn show(dropped: &[String], headers: &mut HeaderMap) {
    let shown: Vec<&str> = dropped.iter().map(String::as_str).take(DROPPED_SHOWN_MAX).collect();
    // Names are the caller's own words; those that do not fit a header are not repeated.
    if let (false, Ok(list)) = (shown.is_empty(), HeaderValue::from_str(&shown.join(", "))) {
        headers.insert("x-mainstay-dropped", list);
    }
}
