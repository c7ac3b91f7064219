//! `chroma`: looks a question up in a collection of a Chroma server by its meaning. Version 2 of its HTTP API, which
//! servers from 0.6 on have: <https://docs.trychroma.com>. Tested against 1.5.
//!
//! It reads and never writes. The question is embedded through the gateway, with the model that the spec names, so it
//! is metered as every other call of a model. Addresses are guarded and answers bounded as those of the `http` tool.

mod check;
mod passages;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use mainstay_core::embedding::{EmbedRequest, Embedder};
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource, ToolSpec};
use mainstay_core::{Ctx, Error, KindDef, Result, codes};
use mainstay_net::client::{Body, Client, ClientOptions};
use mainstay_net::guard::Addresses;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::http::{IDLE_CONNECTIONS_MAX, USER_AGENT};
use super::http::{answer, carry, headers, timed_out, unreached};
use super::{Def, Opening};
use settings::Settings;

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef {
        kind: "chroma",
        about: "Looks a question up in a collection of a Chroma server, by its meaning.",
        schema: settings::schema,
        check: check::check,
    },
    open,
};

/// Longest question, in characters.
const QUERY_CHARS_MAX: u32 = 4096;
/// Longest wait for a sign of life.
const HEARTBEAT_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes of a description or a failure that are read.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// What stays as it is in a path's segment (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn open(opening: Opening<'_>) -> Result<Arc<dyn ToolSource>> {
    let settings: Settings = serde_json::from_value(opening.settings.clone())
        .map_err(|e| Error::bug("settings passed the schema but do not parse").with_source(e))?;
    let addresses = if settings.allow_private { Addresses::Any } else { Addresses::PublicOnly };
    let options = ClientOptions {
        idle_per_host_max: IDLE_CONNECTIONS_MAX,
        connect_timeout: settings.timeout.0,
        addresses,
        ..ClientOptions::default()
    };
    let base = format!("{}/api/v2", settings.url.trim_end_matches('/'));
    let [tenant, database] =
        [&settings.tenant, &settings.database].map(|name| utf8_percent_encode(name, SEGMENT).to_string());
    Ok(Arc::new(Chroma {
        collections: format!("{base}/tenants/{tenant}/databases/{database}/collections"),
        heartbeat: format!("{base}/heartbeat"),
        headers: headers::resolve(&settings.headers, opening.secrets)?,
        embedder: Arc::clone(opening.embedder),
        response_bytes_max: usize::try_from(settings.response_bytes_max.0).unwrap_or(usize::MAX),
        spec: ToolSpec {
            name: opening.name.as_str().to_owned(),
            description: settings.description.clone(),
            parameters: parameters(),
            strict: None,
        },
        client: Client::new(options),
        collection_id: Mutex::default(),
        settings,
    }))
}

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": QUERY_CHARS_MAX,
                "description": "What to look for, in words: a question or a few terms.",
            },
        },
        "required": ["query"],
        "additionalProperties": false,
    })
}

/// The tool.
struct Chroma {
    spec: ToolSpec,
    settings: Settings,
    /// Where the collections are.
    collections: String,
    heartbeat: String,
    headers: HeaderMap,
    response_bytes_max: usize,
    client: Client,
    embedder: Arc<dyn Embedder>,
    /// The collection's id, once it is known: queries name it by that.
    collection_id: Mutex<Option<String>>,
}

/// What the server answered: a success, or a failure that the model is told of.
type Answered = std::result::Result<Vec<u8>, (StatusCode, Vec<u8>)>;

#[async_trait]
impl ToolSource for Chroma {
    async fn tools(&self, _: &Ctx) -> Result<Vec<ToolSpec>> {
        Ok(vec![self.spec.clone()])
    }

    async fn call(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<ToolOutput> {
        if call.name != self.spec.name {
            return Err(Error::new(&codes::TOOL_NOT_FOUND, format!("no tool is called `{}`", call.name)));
        }
        within(ctx, self.settings.timeout.0, self.look_up(ctx, call)).await
    }

    async fn ready(&self, ctx: &Ctx) -> Option<Result<()>> {
        let asked = self.send(ctx, Method::GET, &self.heartbeat, Bytes::new(), None, SMALL_BYTES_MAX);
        let heard = within(ctx, HEARTBEAT_TIME_MAX, asked).await.and_then(|heard| {
            heard.map(drop).map_err(|(status, _)| {
                Error::new(&codes::TOOL_UNAVAILABLE, format!("the tool's server answered {status}"))
            })
        });
        Some(heard)
    }
}

/// Bounds a call by the time given and the context's, whichever is less. Errors: `TOOL_TIMEOUT`.
async fn within<T>(ctx: &Ctx, ours: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = ctx.remaining(Instant::now()).map_or(ours, |left| left.min(ours));
    if limit.is_zero() {
        return Err(timed_out(limit));
    }
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(timed_out(limit)))
}

impl Chroma {
    async fn look_up(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<ToolOutput> {
        let question = call.arguments.get("query").and_then(Value::as_str).unwrap_or_default();
        let vector = self.vector(ctx, question).await?;
        let filter = self.settings.filter.as_ref();
        let query = passages::query(&vector, self.settings.passages_max, filter).to_string();
        let (id, was_known) = match self.known_id() {
            Some(id) => (id, true),
            None => match self.find(ctx).await? {
                Ok(id) => (id, false),
                Err(failed) => return Ok(failure(&failed)),
            },
        };
        let answered = self.query(ctx, call, &id, query.clone()).await?;
        let answered = match answered {
            // A collection that was made anew has another id under the same name.
            Err((StatusCode::NOT_FOUND, _)) if was_known => match self.find(ctx).await? {
                Ok(id) => self.query(ctx, call, &id, query).await?,
                Err(failed) => Err(failed),
            },
            answered => answered,
        };
        Ok(match answered {
            Ok(body) => {
                let content = passages::told(&body, self.settings.distance_max)?;
                ToolOutput { content, is_error: false }
            }
            Err(failed) => failure(&failed),
        })
    }

    /// The question's vector. Errors: those of the embedder.
    async fn vector(&self, ctx: &Ctx, question: &str) -> Result<Vec<f32>> {
        let request = EmbedRequest {
            model: self.settings.model.clone(),
            inputs: vec![question.to_owned()],
            dimensions: self.settings.dimensions,
        };
        let mut answer = self.embedder.embed(ctx, request).await?;
        answer.vectors.pop().ok_or_else(|| Error::bug("an embedding without a vector"))
    }

    fn known_id(&self) -> Option<String> {
        self.collection_id.lock().clone()
    }

    /// Asks for the collection's id and keeps it.
    async fn find(&self, ctx: &Ctx) -> Result<std::result::Result<String, (StatusCode, Vec<u8>)>> {
        *self.collection_id.lock() = None;
        let name = utf8_percent_encode(&self.settings.collection, SEGMENT);
        let url = format!("{}/{name}", self.collections);
        match self.send(ctx, Method::GET, &url, Bytes::new(), None, SMALL_BYTES_MAX).await? {
            Ok(body) => {
                let id = passages::collection_id(&body)?;
                *self.collection_id.lock() = Some(id.clone());
                Ok(Ok(id))
            }
            Err(failed) => Ok(Err(failed)),
        }
    }

    async fn query(&self, ctx: &Ctx, call: &ToolInvocation, id: &str, query: String) -> Result<Answered> {
        let url = format!("{}/{id}/query", self.collections);
        let key = Some(call.idempotency_key.as_str());
        self.send(ctx, Method::POST, &url, query.into(), key, self.response_bytes_max).await
    }

    /// One request. Errors: `TOOL_UNAVAILABLE`, `TOOL_ADDRESS_REFUSED`, `TOOL_RESPONSE_TOO_LARGE`.
    async fn send(
        &self,
        ctx: &Ctx,
        method: Method,
        url: &str,
        body: Bytes,
        key: Option<&str>,
        bytes_max: usize,
    ) -> Result<Answered> {
        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            url.parse().map_err(|e| Error::bug("an address passed the check").with_source(e))?;
        *request.headers_mut() = self.headers(ctx, key)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = self.client.send(request).await.map_err(|error| unreached(&host, &error))?;
        let status = response.status();
        let bound = if status.is_success() { bytes_max } else { SMALL_BYTES_MAX };
        let (bytes, more) = answer::read_up_to(response.into_body(), bound).await?;
        if !status.is_success() {
            return Ok(Err((status, bytes)));
        }
        if more {
            let why = format!("the tool's answer is larger than {bytes_max} bytes");
            let help = "let it find fewer or shorter passages, or raise `response_bytes_max`";
            return Err(Error::new(&codes::TOOL_RESPONSE_TOO_LARGE, why).with_help(help));
        }
        Ok(Ok(bytes))
    }

    fn headers(&self, ctx: &Ctx, key: Option<&str>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(6 + self.headers.len());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        carry(&mut headers, ctx, key, &self.headers)?;
        Ok(headers)
    }
}

/// What the model reads of a failure: the server's own message where it has one.
fn failure((status, body): &(StatusCode, Vec<u8>)) -> ToolOutput {
    let wire: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = wire["message"].as_str().map(str::as_bytes);
    answer::failure(answer::describe(*status, said.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
