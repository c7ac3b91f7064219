//! A model vendor's endpoint on loopback that answers in one dialect from recorded answers, or misbehaves as told.
//!
//! It holds no dialect's rules: the answers are files under `upstream/<dialect>/`, written down from the vendors'
//! documentation and clients, so that a translator is never checked against itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::conformance::provider::Behaviour;
use crate::loopback::{Answer, Loopback, Request, pieces, whole};

/// Bytes of a stream that go out together: few enough to cut events and characters in the middle.
const CHUNK_BYTES: usize = 37;

/// What keeps a connection alive while there is nothing to say.
const COMMENT: &[u8] = b": at work\n\n";

/// A running endpoint.
#[derive(Debug)]
pub struct FakeUpstream {
    server: Option<Loopback>,
    url: String,
    received: watch::Sender<Vec<Received>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl FakeUpstream {
    /// Starts an endpoint that speaks `dialect` and behaves so. `Gone` gives the address of none.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn start(dialect: &'static str, behaviour: Behaviour) -> Self {
        let received = watch::channel(Vec::new()).0;
        let tell = received.clone();
        let server = Loopback::serve(Arc::new(move |request| {
            let tell = tell.clone();
            Box::pin(async move {
                let received = read(request).await;
                let answer = answer(dialect, behaviour, &received);
                tell.send_modify(|all| all.push(received));
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            })
        }))
        .await;
        let url = server.url();
        let server = (behaviour != Behaviour::Gone).then_some(server);
        Self { server, url, received }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The requests so far, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits until a request has arrived.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn called(&self) {
        let mut received = self.received.subscribe();
        let arrived = tokio::time::timeout(Duration::from_secs(10), received.wait_for(|all| !all.is_empty()));
        arrived.await.expect("a request arrives in time").expect("the endpoint runs");
    }

    /// Waits until a caller went away before its answer was whole.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn caller_gone(&self) {
        if let Some(server) = &self.server {
            server.callers_gone(1).await;
        }
    }
}

/// A recorded answer of `dialect`, by the name of its file.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn recorded(dialect: &str, name: &str) -> Bytes {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/upstream")).join(dialect);
    let path = folder.join(name);
    let read = std::fs::read(&path).unwrap_or_else(|e| panic!("no recorded answer {}: {e}", path.display()));
    read.into()
}

async fn read(request: Request) -> Received {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Received { path, headers: head.headers, body }
}

/// The answer; `None` is silence.
fn answer(dialect: &'static str, behaviour: Behaviour, request: &Received) -> Option<Answer> {
    if request.body.is_empty() {
        return Some(models(dialect, &request.path));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if let (Behaviour::Says(_), Some(vectors)) = (behaviour, vectors(&request.path, &body)) {
        return Some(whole(200, "application/json", vectors.to_string()));
    }
    let streams = body["stream"] == true || request.path.contains(":streamGenerateContent");
    Some(match behaviour {
        Behaviour::Silent => return None,
        Behaviour::Page => whole(200, "text/html", "<html>a proxy's page</html>"),
        Behaviour::Moved => whole(307, "text/html", "<html>moved</html>"),
        Behaviour::Empty => whole(204, "application/json", ""),
        Behaviour::Fails(name) => failed(dialect, name),
        Behaviour::Says(name) if streams => streamed(whole_stream(recorded(dialect, &file(name, "sse")))),
        Behaviour::Says(name) => whole(200, "application/json", recorded(dialect, &file(name, "json"))),
        Behaviour::Breaks if streams => streamed(beginning(dialect).chain(broken()).boxed()),
        Behaviour::Breaks => {
            let text = recorded(dialect, "text.json");
            let half = stream::iter([Ok(text.slice(..text.len() / 2))]);
            pieces(200, "application/json", half.chain(broken()))
        }
        Behaviour::EndsEarly => streamed(beginning(dialect)),
        Behaviour::BreaksAfterwards => {
            streamed(whole_stream(recorded(dialect, "text.sse")).chain(broken()).boxed())
        }
        Behaviour::FailsInside => {
            let event = stream::once(std::future::ready(Ok(error_event(dialect))));
            streamed(beginning(dialect).chain(event).boxed())
        }
        Behaviour::FailsAtOnce if !streams => {
            let errors: Value =
                serde_json::from_slice(&recorded(dialect, "errors.json")).expect("it is JSON");
            whole(200, "application/json", errors["error_inside"]["body"].to_string())
        }
        Behaviour::FailsAtOnce => {
            let event = error_event(dialect);
            streamed(whole_stream([COMMENT, &event[..]].concat().into()))
        }
        Behaviour::SaysNothing => streamed(whole_stream(Bytes::from_static(COMMENT))),
        Behaviour::Thinks => {
            let parts = [COMMENT, b"data: {"].map(|part| Ok(Bytes::from_static(part)));
            // Each in a packet of its own, so that it has to be noticed by itself.
            let parts = stream::iter(parts).then(|part| async {
                tokio::task::yield_now().await;
                part
            });
            streamed(beginning(dialect).chain(parts).chain(stream::pending()).boxed())
        }
        Behaviour::Hangs | Behaviour::Gone => streamed(beginning(dialect).chain(stream::pending()).boxed()),
    })
}

/// Vectors for the texts of a request, if it asks for any: the second number of each is its place.
fn vectors(path: &str, body: &Value) -> Option<Value> {
    if path.ends_with("/embeddings") {
        let count = body["input"].as_array().map_or(1, Vec::len);
        let one = |at| json!({ "object": "embedding", "index": at, "embedding": [0.5, at] });
        let data: Vec<Value> = (0..count).rev().map(one).collect();
        return Some(json!({ "data": data, "model": "m-2026-11", "usage": { "prompt_tokens": 4 } }));
    }
    let count = body["requests"].as_array().filter(|_| path.ends_with(":batchEmbedContents"))?.len();
    let data: Vec<Value> = (0..count).map(|at| json!({ "values": [0.5, at] })).collect();
    Some(json!({ "embeddings": data }))
}

fn file(name: &str, extension: &str) -> String {
    format!("{name}.{extension}")
}

fn streamed(body: BoxStream<'static, io::Result<Bytes>>) -> Answer {
    let mut answer = pieces(200, "text/event-stream; charset=utf-8", body);
    answer.headers_mut().insert("retry-after-ms", http::HeaderValue::from_static("17"));
    answer
}

/// Small chunks, each in a packet of its own as far as the system allows.
fn whole_stream(bytes: Bytes) -> BoxStream<'static, io::Result<Bytes>> {
    let chunks = (0..bytes.len()).step_by(CHUNK_BYTES);
    let chunks: Vec<_> = chunks.map(|at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK_BYTES)))).collect();
    stream::iter(chunks)
        .then(|chunk| async move {
            tokio::task::yield_now().await;
            chunk
        })
        .boxed()
}

/// The text up to and including its first piece.
fn beginning(dialect: &str) -> BoxStream<'static, io::Result<Bytes>> {
    let text = recorded(dialect, "text.sse");
    let said = text.windows(4).position(|window| window == b"Hei ").expect("the text begins with `Hei `");
    let end = text[said..].windows(2).position(|window| window == b"\n\n");
    let end = end
        .map(|at| at + 2)
        .or_else(|| text[said..].windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4));
    whole_stream(text.slice(..said + end.expect("the event ends")))
}

fn broken() -> BoxStream<'static, io::Result<Bytes>> {
    stream::once(async {
        // The server flushes when its body has nothing at hand, and drops what it has not flushed.
        tokio::task::yield_now().await;
        Err(io::Error::other("the connection breaks"))
    })
    .boxed()
}

fn failed(dialect: &str, name: &str) -> Answer {
    let errors: Value = serde_json::from_slice(&recorded(dialect, "errors.json")).expect("it is JSON");
    let error = &errors[name];
    let status = error["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.unwrap_or_else(|| panic!("`{dialect}` has no recorded error `{name}`"));
    let mut answer = whole(status, "application/json", error["body"].to_string());
    for (name, value) in error["headers"].as_object().into_iter().flatten() {
        let name = http::HeaderName::try_from(name.as_str()).expect("a recorded header has a name");
        let value = value.as_str().and_then(|value| http::HeaderValue::from_str(value).ok());
        answer.headers_mut().insert(name, value.expect("a recorded header has a value"));
    }
    answer
}

fn error_event(dialect: &str) -> Bytes {
    let errors: Value = serde_json::from_slice(&recorded(dialect, "errors.json")).expect("it is JSON");
    let error = &errors["error_inside"];
    let name = error["event"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
    format!("{name}data: {}\n\n", error["body"]).into()
}

/// A list of models, its second page for whoever asks with the first one's token, correctly escaped.
fn models(dialect: &str, path: &str) -> Answer {
    let asks_on = path.contains("after_id=m-1") || path.contains("pageToken=a%2Fb%2Bc%3D");
    if path.contains("pageToken=") && !asks_on {
        return whole(400, "application/json", "{\"error\":{}}");
    }
    let page = if asks_on { "models_next.json" } else { "models.json" };
    whole(200, "application/json", recorded(dialect, page))
}
