//! The request to an app: its body and its headers.

use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use mainstay_core::app::AppRequest;
use mainstay_core::{Ctx, Error, Result};
use mainstay_net::client::Body;
use serde::Serialize;
use serde_json::Value;

const RUN_ID: HeaderName = HeaderName::from_static("x-mainstay-run-id");
const SESSION_ID: HeaderName = HeaderName::from_static("x-mainstay-session-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("x-mainstay-deadline-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// The body. What the caller did not give is left out, so that an app's own defaults hold.
#[derive(Serialize)]
struct Question<'a> {
    query: &'a str,
    run_id: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    context: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    metadata: &'a Value,
}

/// The request to `url`; the deadline header says what is left at `now`.
pub(crate) fn request(
    url: &http::Uri,
    ctx: &Ctx,
    asked: &AppRequest,
    now: Instant,
) -> Result<http::Request<Body>> {
    let question = Question {
        query: &asked.input.query,
        run_id: asked.run.as_str(),
        stream: asked.stream,
        session_id: asked.session.as_ref().map(|id| id.as_str()),
        context: &asked.input.context,
        max_tokens: asked.input.max_tokens,
        temperature: asked.input.temperature,
        metadata: &asked.input.metadata,
    };
    let body = serde_json::to_vec(&question).map_err(|e| Error::bug("write the question").with_source(e))?;
    let accept = if asked.stream { "text/event-stream, application/json" } else { "application/json" };
    let mut request = http::Request::new(Body::from(Bytes::from(body)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.clone();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let deadline = ctx.remaining(now).map(|left| left.as_millis().to_string());
    let own = [
        (RUN_ID, Some(asked.run.as_str())),
        (SESSION_ID, asked.session.as_ref().map(|id| id.as_str())),
        (DEADLINE_MS, deadline.as_deref()),
        (REQUEST_ID, Some(ctx.request_id().as_str())),
        (IDEMPOTENCY_KEY, Some(asked.idempotency_key.as_str())),
        (TRACEPARENT, ctx.traceparent()),
    ];
    for (name, text) in own {
        let Some(text) = text else { continue };
        let value = HeaderValue::from_str(text);
        headers.insert(name, value.map_err(|e| Error::bug("an id cannot stand in a header").with_source(e))?);
    }
    Ok(request)
}
