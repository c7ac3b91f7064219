//! What the model fronts share: the body is read once and kept as bytes; a target of the front's dialect gets those
//! bytes and its answer goes out as it came, any other is translated. It knows dialects by their tables only.

mod answer;
mod encode;

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use mainstay_core::model::{ModelClient as _, ModelRequest};
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
    let dropped = Dropped::default();
    match dispatch(&call, &ctx, codec, &body, envelope, passed_on, &dropped).await? {
        Answer::Wire(wire) => answer::passed_through(&call, &ctx, codec, wire, stream).await,
        Answer::Events(events) => {
            let mut response = encode::response(&call, &ctx, encoding, events).await?;
            dropped.show(response.headers_mut());
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
    dropped: &Dropped,
) -> mainstay_core::Result<Answer> {
    let decode = |bytes: &[u8]| {
        let request = (codec.decode_request)(bytes)?;
        dropped.note(&request);
        Ok(request)
    };
    if envelope.is_mixed {
        // Signatures of another vendor are in it: the bytes as they are would be refused.
        let request = (codec.decode_request)(body)?;
        return call.shared.gateway.complete(ctx, request).await.map(Answer::Events);
    }
    let request = FrontRequest {
        dialect: codec.dialect,
        model: &envelope.model,
        body: body.clone(),
        model_span: envelope.model_span,
        edits: envelope.meter_edits,
        stream: envelope.stream,
        strip_usage: envelope.strip_usage,
        headers: passed_headers(call.headers(), passed_on),
        decode: &decode,
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

/// Fields that a translated request could not take along.
#[derive(Default)]
struct Dropped(OnceLock<Vec<String>>);

impl Dropped {
    fn note(&self, request: &ModelRequest) {
        // The first translation is the only one.
        let _ = self.0.set(request.rest.fields.keys().take(DROPPED_SHOWN_MAX).cloned().collect());
    }

    fn show(&self, headers: &mut HeaderMap) {
        let Some(names) = self.0.get().filter(|names| !names.is_empty()) else { return };
        // Names are the caller's own words; those that do not fit a header are not repeated.
        if let Ok(list) = HeaderValue::from_str(&names.join(", ")) {
            headers.insert("x-mainstay-dropped", list);
        }
    }
}
