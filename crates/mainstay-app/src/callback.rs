//! The app beside us behind the core `AppCallback` port, over HTTP: what it subscribes to, and messages on their way to
//! it. It starts no process and retries nothing.

mod bound;
mod bulk;
mod subscribed;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::callback::{
    AppCallback, BindingAnswer, BindingEvent, BulkEvent, ConfigurationChange, TopicEvent, Verdict,
};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Error, Redacted, Result, codes};
use mainstay_net::client::{Body, Client};

use crate::health;

/// Bytes of an app's answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How long an app may take to answer, where the context says nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What must not stand in a path's segment as it is (RFC 3986, section 3.3).
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@');
/// What an envelope is declared as.
const CLOUD_EVENTS: HeaderValue = HeaderValue::from_static("application/cloudevents+json");

/// Headers that are the message's own frame: no metadata of an event replaces them.
const FRAMING: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE];

/// The app's HTTP server.
#[derive(Debug)]
pub struct HttpCallback {
    client: Client,
    /// Without a slash at the end.
    base: String,
    /// What the app wants to see in `dapr-api-token`.
    token: Option<Redacted<String>>,
    /// Where it says whether it is well.
    health_path: String,
}

impl HttpCallback {
    /// The app at `base` (`http://127.0.0.1:8000`).
    #[must_use]
    pub fn new(client: Client, base: &str, token: Option<Redacted<String>>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { client, base, token, health_path: "/healthz".to_owned() }
    }

    /// The same, which says at this path whether it is well; `/healthz` without.
    #[must_use]
    pub fn with_health_path(self, path: &str) -> Self {
        Self { health_path: path.to_owned(), ..self }
    }

    async fn send(&self, ctx: &Ctx, mut request: Request<Body>) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let headers = request.headers_mut();
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::from_str(token.expose())
        {
            value.set_sensitive(true);
            headers.insert("dapr-api-token", value);
        }
        for (name, text) in [("traceparent", ctx.traceparent()), ("tracestate", ctx.tracestate())] {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
        let path = request.uri().path().to_owned();
        let deadline =
            ctx.deadline().map_or_else(|| tokio::time::Instant::now() + ANSWER_TIMEOUT, Into::into);
        let asked = async {
            let answer = self.client.send(request).await.map_err(|error| {
                Error::new(&codes::APP_UNAVAILABLE, "the app does not answer").with_internal(error.chain())
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                Error::new(
                    &codes::APP_FAILED,
                    format!("the app's answer at `{path}` was cut or is too large"),
                )
                .with_source(error)
            })?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        tokio::time::timeout_at(deadline, asked)
            .await
            .unwrap_or_else(|_| Err(Error::new(&codes::DEADLINE_EXCEEDED, "the app did not answer in time")))
    }

    /// A request with JSON for a path.
    fn post(&self, path: &str, body: Bytes) -> Result<Request<Body>> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url(path)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// The URL of a path, which may come without its slash. Errors: `APP_REJECTED` for what is no path.
    fn url(&self, path: &str) -> Result<http::Uri> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{path}", self.base).parse().map_err(|fault| {
            Error::new(&codes::APP_REJECTED, format!("`{path}` is no path")).with_source(fault)
        })
    }
}

#[async_trait]
impl AppCallback for HttpCallback {
    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        let address = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        health::listens(address).await
    }

    async fn healthy(&self, ctx: &Ctx) -> Result<()> {
        let mut request = Request::new(Body::default());
        *request.uri_mut() = self.url(&self.health_path)?;
        let (status, ..) = self.send(ctx, request).await?;
        if status.is_success() {
            return Ok(());
        }
        let message = format!("the app answers {status} at `{}`", self.health_path);
        Err(Error::new(&codes::APP_UNAVAILABLE, message))
    }

    async fn subscriptions(&self, ctx: &Ctx) -> Result<Vec<Subscription>> {
        let mut request = Request::new(Body::default());
        *request.uri_mut() = self.url("/dapr/subscribe")?;
        let (status, _, body) = self.send(ctx, request).await?;
        match status {
            StatusCode::OK => subscribed::read(&body),
            StatusCode::NOT_FOUND => Ok(Vec::new()),
            other => {
                tracing::warn!(status = other.as_u16(), "the app did not say what it subscribes to");
                Ok(Vec::new())
            }
        }
    }

    async fn deliver(&self, ctx: &Ctx, event: &TopicEvent) -> Result<Verdict> {
        let mut request = Request::new(Body::from(event.envelope.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url(&event.path)?;
        let headers = request.headers_mut();
        add(headers, &event.metadata);
        headers.insert(CONTENT_TYPE, CLOUD_EVENTS);
        headers.insert("pubsubname", header(&event.pubsub));
        let (status, _, body) = self.send(ctx, request).await?;
        verdict(status, &body, event)
    }

    async fn deliver_bulk(&self, ctx: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        let mut request = self.post(&event.path, bulk::body(event)?)?;
        request.headers_mut().insert("pubsubname", header(&event.pubsub));
        let (status, _, body) = self.send(ctx, request).await?;
        bulk::verdicts(status, &body, event)
    }

    async fn hears(&self, ctx: &Ctx, _binding: &str, route: &str) -> Result<bool> {
        let mut request = Request::new(Body::default());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = self.url(route)?;
        let (status, _, _) = self.send(ctx, request).await?;
        Ok(status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED)
    }

    async fn tell(&self, ctx: &Ctx, event: &BindingEvent) -> Result<BindingAnswer> {
        let mut request = self.post(&event.route, event.data.clone())?;
        add(request.headers_mut(), &event.metadata);
        let (status, _, body) = self.send(ctx, request).await?;
        if !status.is_success() {
            let message =
                format!("the app failed on an event of `{}`: status {}", event.binding, status.as_u16());
            return Err(Error::new(&codes::APP_FAILED, message).with_answer(status.as_u16()));
        }
        Ok(bound::read(body))
    }

    async fn configuration_changed(&self, ctx: &Ctx, change: &ConfigurationChange) -> Result<()> {
        let body = Bytes::from(mainstay_dapr::configuration::change(change));
        // The app has a path a key, and each call says all that changed.
        for key in change.items.keys() {
            let mut request = Request::new(Body::from(body.clone()));
            *request.method_mut() = http::Method::POST;
            let (store, key) = (escaped(&change.store), escaped(key));
            *request.uri_mut() = self.url(&format!("/configuration/{store}/{key}"))?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let (status, _, _) = self.send(ctx, request).await?;
            if !status.is_success() {
                let message = format!("the app answered {} to a change of configuration", status.as_u16());
                return Err(Error::new(&codes::APP_FAILED, message));
            }
        }
        Ok(())
    }
}

/// Adds what a broker or a binding says of an event, under its own names. What does not fit a header stays behind.
fn add(headers: &mut HeaderMap, metadata: &BTreeMap<String, String>) {
    for (name, value) in metadata {
        let name = HeaderName::try_from(name.as_str()).ok().filter(|name| !FRAMING.contains(name));
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

/// Text as it may stand in a path's segment.
fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// What an answer says of a message. Errors: `APP_FAILED` with the status.
fn verdict(status: StatusCode, body: &[u8], event: &TopicEvent) -> Result<Verdict> {
    if status == StatusCode::NOT_FOUND {
        tracing::error!(path = %event.path, topic = %event.topic, "the app has no such path: the message is dropped");
        return Ok(Verdict::Drop);
    }
    if !status.is_success() {
        tracing::warn!(path = %event.path, status = status.as_u16(), "the app failed on a message");
        let message = format!("the app answered with the status {}", status.as_u16());
        return Err(Error::new(&codes::APP_FAILED, message).with_answer(status.as_u16()));
    }
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    let word = said.as_ref().and_then(|said| said.get("status")?.as_str()).unwrap_or_default();
    Ok(match word {
        "" | "SUCCESS" => Verdict::Done,
        "DROP" => Verdict::Drop,
        "RETRY" => Verdict::Again,
        other => {
            tracing::warn!(path = %event.path, status = %other, "the app's verdict on a message is unknown");
            Verdict::Again
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_verdict() {
        let event = TopicEvent {
            path: "/t".to_owned(),
            pubsub: "bus".to_owned(),
            topic: "t".to_owned(),
            envelope: Bytes::new(),
            metadata: BTreeMap::new(),
        };
        let made =
            |status: u16, body: &str| verdict(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &event);
        let check = |status: u16, body: &str, expect: Verdict| {
            assert_eq!(made(status, body).unwrap(), expect, "{status} {body}");
        };
        check(200, "", Verdict::Done);
        check(204, "", Verdict::Done);
        check(200, "ok", Verdict::Done);
        check(200, "{}", Verdict::Done);
        check(200, r#"{"status":"SUCCESS"}"#, Verdict::Done);
        check(200, r#"{"status":"RETRY"}"#, Verdict::Again);
        check(200, r#"{"status":"DROP"}"#, Verdict::Drop);
        check(200, r#"{"status":"LATER"}"#, Verdict::Again);
        check(404, "", Verdict::Drop);
        let failed = |status, body| made(status, body).unwrap_err().answer();
        assert_eq!(failed(500, r#"{"status":"SUCCESS"}"#), Some(500));
        assert_eq!(failed(301, ""), Some(301));
    }

    #[test]
    fn what_is_said_of_an_event_are_headers_of_the_same_names() {
        let said =
            [("__key", "7"), ("rawPayload", "true"), ("Content-Length", "9"), ("ä", "1"), ("x", "a\nb")];
        let said = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut headers = HeaderMap::new();
        add(&mut headers, &said);
        let text = |name: &str| headers[name].to_str().unwrap();
        assert_eq!((headers.len(), text("__key"), text("rawpayload")), (2, "7", "true"));
    }
}
