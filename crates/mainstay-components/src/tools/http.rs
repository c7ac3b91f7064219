//! `http`: one call of an HTTP endpoint. Arguments fill the URL's placeholders; the rest travel as query (GET, DELETE)
//! or as a JSON body. HTTP/1.1, RFC 9110; tested against hyper 1.
//!
//! It follows no redirect, keeps no cookie, honours no proxy variable and never retries. Private addresses are refused
//! when the connection is made, after name resolution, unless the spec allows them.

pub(super) mod answer;
pub(super) mod check;
pub(super) mod headers;
pub(super) mod quantity;
mod settings;
mod template;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource, ToolSpec};
use mainstay_core::{Ctx, Error, KindDef, Result, codes};
use mainstay_net::client::{Body, Client, ClientOptions, SendError};
use mainstay_net::guard::Addresses;
use serde_json::Value;

use super::{Def, Opening};
use settings::{Method, Settings};
use template::Template;

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef {
        kind: "http",
        about: "Calls an HTTP endpoint with the arguments in its URL, query or JSON body.",
        schema: settings::schema,
        check: check::check,
    },
    open,
};

/// Carries the call's key on every method that may act on the world.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));
/// Idle connections kept to one tool's host.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 32;

fn open(opening: Opening<'_>) -> Result<Arc<dyn ToolSource>> {
    let settings: Settings = serde_json::from_value(opening.settings.clone())
        .map_err(|e| Error::bug("settings passed the schema but do not parse").with_source(e))?;
    let template = Template::parse(&settings.url)
        .map_err(|why| Error::bug(format!("the URL passed the check but does not parse: {why}")))?;
    let addresses = if settings.allow_private { Addresses::Any } else { Addresses::PublicOnly };
    let options = ClientOptions {
        idle_per_host_max: IDLE_CONNECTIONS_MAX,
        connect_timeout: settings.timeout.0,
        addresses,
        ..ClientOptions::default()
    };
    Ok(Arc::new(Http {
        headers: headers::resolve(&settings.headers, opening.secrets)?,
        method: settings.method,
        template,
        timeout: settings.timeout.0,
        response_bytes_max: usize::try_from(settings.response_bytes_max.0).unwrap_or(usize::MAX),
        spec: ToolSpec {
            name: opening.name.as_str().to_owned(),
            description: settings.description,
            parameters: Value::Object(settings.parameters),
            strict: None,
        },
        client: Client::new(options),
    }))
}

/// The tool.
struct Http {
    spec: ToolSpec,
    method: Method,
    template: Template,
    headers: HeaderMap,
    timeout: Duration,
    response_bytes_max: usize,
    client: Client,
}

#[async_trait]
impl ToolSource for Http {
    async fn tools(&self, _: &Ctx) -> Result<Vec<ToolSpec>> {
        Ok(vec![self.spec.clone()])
    }

    async fn call(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<ToolOutput> {
        if call.name != self.spec.name {
            return Err(Error::new(&codes::TOOL_NOT_FOUND, format!("no tool is called `{}`", call.name)));
        }
        let request = self.request(ctx, call)?;
        let limit = ctx.remaining(Instant::now()).map_or(self.timeout, |left| left.min(self.timeout));
        if limit.is_zero() {
            return Err(timed_out(limit));
        }
        let outcome = tokio::time::timeout(limit, self.exchange(request)).await;
        outcome.unwrap_or_else(|_| Err(timed_out(limit)))
    }
}

impl Http {
    fn request(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<http::Request<Body>> {
        let mut url = self.template.fill(&call.arguments)?;
        let rest = call.arguments.iter().filter(|(name, _)| !self.template.names(name));
        let body = if self.method.has_body() {
            let object: serde_json::Map<String, Value> =
                rest.map(|(name, value)| (name.clone(), value.clone())).collect();
            Bytes::from(Value::Object(object).to_string())
        } else {
            url.append_query(rest);
            Bytes::new()
        };
        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = self.method.as_http();
        *request.uri_mut() = url.finish()?;
        *request.headers_mut() = self.headers(ctx, call)?;
        Ok(request)
    }

    /// The spec's headers go last, so that they win over our defaults; the check keeps them off the framing ones.
    fn headers(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(8 + self.headers.len());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.1"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if self.method.has_body() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let key = (self.method != Method::Get).then_some(call.idempotency_key.as_str());
        carry(&mut headers, ctx, key, &self.headers)?;
        Ok(headers)
    }

    async fn exchange(&self, request: http::Request<Body>) -> Result<ToolOutput> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = self.client.send(request).await.map_err(|error| unreached(&host, &error))?;
        answer::read(response, self.response_bytes_max).await
    }
}

/// What each call of a tool carries: its key where it acts, the trace it is part of, and the spec's own headers.
pub(super) fn carry(headers: &mut HeaderMap, ctx: &Ctx, key: Option<&str>, own: &HeaderMap) -> Result<()> {
    if let Some(key) = key {
        let key = HeaderValue::from_str(key);
        let key = key.map_err(|_| Error::bug("an idempotency key cannot stand in a header"))?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    if let Some(trace) = ctx.traceparent().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(TRACEPARENT, trace);
    }
    for (name, value) in own {
        headers.insert(name.clone(), value.clone());
    }
    Ok(())
}

pub(super) fn timed_out(limit: Duration) -> Error {
    Error::new(&codes::TOOL_TIMEOUT, format!("the tool did not answer within {} ms", limit.as_millis()))
}

/// What the model and the caller learn of a failed connection: the host of the spec, no address inside our network.
pub(super) fn unreached(host: &str, error: &SendError) -> Error {
    let (code, message) = match error {
        SendError::Refused(_) => (
            &codes::TOOL_ADDRESS_REFUSED,
            format!("`{host}` has no public address, and this tool may reach public addresses alone"),
        ),
        SendError::Connect(_) => {
            (&codes::TOOL_UNAVAILABLE, format!("the tool's host `{host}` cannot be reached"))
        }
        SendError::Transport(_) => {
            (&codes::TOOL_UNAVAILABLE, "the connection to the tool broke before it answered".to_owned())
        }
    };
    Error::new(code, message).with_internal(error.chain())
}

#[cfg(test)]
mod tests;
