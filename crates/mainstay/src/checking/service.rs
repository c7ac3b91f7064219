//! A running service, as a caller sees it: with a key, and without.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::exhaustion::Exhaust;
use super::outage::Commands;

/// What is asked.
const QUESTION: &str = "Answer with one word: are you there?";
/// Longest wait for an answer that needs no model.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 4 << 20;
/// The gauge of what is in flight.
const IN_FLIGHT: &str = "mainstay_requests_in_flight";

/// Who takes questions, as the spec has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Agents.
    Agents,
    /// No agent, but this model.
    Model(String),
    /// Neither: there are apps alone.
    Nobody,
}

impl Asked {
    /// The first of what a spec has.
    pub(crate) fn of(plan: &mainstay_core::Plan) -> Self {
        match plan.models.keys().next() {
            _ if !plan.agents.is_empty() => Self::Agents,
            Some(model) => Self::Model(model.to_string()),
            None => Self::Nobody,
        }
    }
}

/// What is known of a service before it is asked.
pub(crate) struct Given {
    /// Its base URL, without a slash at its end.
    pub(crate) base: String,
    /// The key to show.
    pub(crate) key: Option<String>,
    /// The key of another caller, from whom what the first one did is to be hidden.
    pub(crate) other_key: Option<String>,
    /// Values that must stand in no answer, and the names of what they are.
    pub(crate) secrets: Vec<(String, String)>,
    /// What the spec bounds.
    pub(crate) server: mainstay_core::plan::Server,
    /// Who takes questions.
    pub(crate) asked: Asked,
    /// Whether the spec has keys.
    pub(crate) keyed: bool,
    /// Whether the spec says that anyone may call.
    pub(crate) anyone: bool,
    /// Requests a minute that the spec gives the key.
    pub(crate) per_minute: Option<u32>,
    /// How the key may be used up, where that is allowed.
    pub(crate) exhaust: Option<Exhaust>,
    /// What takes something away that the service needs, and brings it back.
    pub(crate) commands: Option<Commands>,
    /// The process to end, where that is allowed.
    pub(crate) drain: Option<u32>,
}

/// A running service.
pub(crate) struct Service {
    /// What is known of it.
    pub(crate) given: Given,
    client: reqwest::Client,
    /// What it says of itself; nothing where it says nothing.
    pub(crate) document: Value,
}

/// An answer, read to its end or to a bound.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'static str, &'a str)>,
    pub(crate) body: Option<&'a str>,
    /// Whether the key is shown.
    pub(crate) keyed: bool,
}

impl<'a> Ask<'a> {
    /// Asks for a path, with the key.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, headers: Vec::new(), body: None, keyed: true }
    }

    /// Sends JSON, with the key.
    pub(crate) fn post(path: &'a str, body: &'a str) -> Self {
        let headers = vec![("content-type", "application/json")];
        Self { method: Method::POST, path, headers, body: Some(body), keyed: true }
    }

    /// Without the key.
    pub(crate) fn bare(self) -> Self {
        Self { keyed: false, ..self }
    }
}

impl Service {
    /// Finds the service. Errors: nobody answers.
    pub(crate) async fn reach(given: Given) -> anyhow::Result<Self> {
        let client = mainstay_net::client::download_client()?;
        let mut service = Self { given, client, document: Value::Null };
        let base = service.given.base.clone();
        service.send(Ask::get("/health").bare()).await.with_context(|| format!("cannot reach {base}"))?;
        if let Ok(answer) = service.send(Ask::get("/openapi.json").bare()).await {
            service.document = serde_json::from_str(&answer.body).unwrap_or_default();
        }
        Ok(service)
    }

    fn request(&self, ask: &Ask<'_>) -> reqwest::RequestBuilder {
        let mut request = self.client.request(ask.method.clone(), format!("{}{}", self.given.base, ask.path));
        for (name, value) in &ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request.body(body.to_owned());
        }
        match &self.given.key {
            Some(key) if ask.keyed => request.bearer_auth(key),
            _ => request,
        }
    }

    /// Sends and reads the whole answer, which needs no model.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        self.send_within(ask, ANSWER_MAX).await
    }

    /// The same for an answer that a model may think about.
    pub(crate) async fn question(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        self.send_within(ask, self.given.server.request_timeout.max(ANSWER_MAX)).await
    }

    async fn send_within(&self, ask: Ask<'_>, patience: Duration) -> anyhow::Result<Answer> {
        let whole = async {
            let answer = self.request(&ask).send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let mut pieces = answer.bytes_stream();
            let mut body = Vec::new();
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece?);
                if body.len() > BODY_BYTES_MAX {
                    break;
                }
            }
            anyhow::Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::time::timeout(patience, whole).await.context("no answer in time")?
    }

    /// Opens a stream. The client reads no faster than the caller.
    pub(crate) async fn stream(&self, ask: Ask<'_>) -> anyhow::Result<Stream> {
        let opened = self.request(&ask).timeout(self.given.server.request_timeout.max(ANSWER_MAX)).send();
        let answer = opened.await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Stream { status, headers, pieces: Box::pin(answer.bytes_stream()) })
    }

    /// The paths of the document and their methods, with what is said of each.
    pub(crate) fn operations(&self) -> Vec<(&str, Method, &Value)> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let each = paths.flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().filter_map(move |(name, operation)| {
                let method = name.to_ascii_uppercase().parse::<Method>().ok()?;
                operation.is_object().then_some((path.as_str(), method, operation))
            })
        });
        each.collect()
    }

    /// The path that takes a question and answers whole, and the one that streams.
    pub(crate) fn asking(&self, stream: bool) -> Option<&str> {
        let wanted = if stream { "/v1/stream" } else { "/v1/invoke" };
        let posts = self.operations().into_iter().filter(|(_, method, _)| *method == Method::POST);
        let plain = posts.filter(|(path, _, operation)| {
            let answers = operation["responses"]["200"]["content"].as_object();
            let streams = answers.is_some_and(|answers| answers.contains_key("text/event-stream"));
            !path.contains('{') && streams == stream
        });
        let mut paths: Vec<&str> = plain.map(|(path, ..)| path).collect();
        paths.sort_by_key(|path| *path != wanted);
        paths.first().copied()
    }

    /// Where a question goes that is answered whole, or as a stream, and its body. `None` where nobody takes one, or the
    /// document has no path for it.
    pub(crate) fn question_for(&self, stream: bool) -> Option<(String, String)> {
        match &self.given.asked {
            Asked::Agents => {
                Some((self.asking(stream)?.to_owned(), json!({ "query": QUESTION }).to_string()))
            }
            Asked::Model(model) => {
                let messages = json!([{ "role": "user", "content": QUESTION }]);
                let body = json!({ "model": model, "messages": messages, "stream": stream });
                Some(("/v1/chat/completions".to_owned(), body.to_string()))
            }
            Asked::Nobody => None,
        }
    }

    /// The routes of apps that are no agents, as the document names them.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        let apps = self.document["x-mainstay-apps"].as_array().into_iter().flatten();
        let routes = apps.flat_map(|app| app["routes"].as_array().into_iter().flatten());
        routes.filter_map(Value::as_str)
    }

    /// A text of others, with no secret in it that is known.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let known = self.given.secrets.iter().filter(|(_, value)| !value.is_empty());
        known.fold(text.to_owned(), |text, (name, value)| text.replace(value.as_str(), &format!("`{name}`")))
    }

    /// How many requests are in flight, as the metrics say; `None` where they do not.
    pub(crate) async fn in_flight(&self) -> Option<f64> {
        let answer = self.send(Ask::get("/metrics")).await.ok().filter(|answer| answer.status == 200)?;
        let lines = answer.body.lines().filter(|line| line.starts_with(IN_FLIGHT));
        let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

/// A stream that is open.
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pieces: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Bytes>> + Send>>,
}

impl Stream {
    /// The next bytes; `None` at the end. Errors: it was cut.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        Ok(self.pieces.next().await.transpose()?)
    }

    /// Everything up to the end or a bound. Errors: it was cut.
    pub(crate) async fn rest(&mut self) -> anyhow::Result<String> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
            anyhow::ensure!(all.len() <= BODY_BYTES_MAX, "it does not end");
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}
