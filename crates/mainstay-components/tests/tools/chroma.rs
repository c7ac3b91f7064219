//! A server that answers a query with the text that its vector spells, as told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use mainstay_components::secrets::Secrets;
use mainstay_components::tools::{Def, Opening};
use mainstay_core::Name;
use mainstay_core::tool::{ToolOutput, ToolSource};
use mainstay_testkit::conformance::tool::{Behaviour, Open, Rig};
use mainstay_testkit::embedder;
use mainstay_testkit::loopback::{self, Answer, Loopback, Request};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |behaviour| Box::pin(Chroma::open(def, behaviour)))
}

struct Chroma {
    source: Arc<dyn ToolSource>,
    keys: Arc<Mutex<Vec<String>>>,
    calls: watch::Receiver<usize>,
    server: Loopback,
}

impl Chroma {
    async fn open(def: &'static Def, behaviour: Behaviour) -> Arc<dyn Rig> {
        let keys = Arc::new(Mutex::new(Vec::new()));
        let (count, calls) = watch::channel(0);
        let seen = Arc::clone(&keys);
        let server = Loopback::serve(Arc::new(move |request: Request| -> BoxFuture<'static, Answer> {
            if request.uri().path().ends_with("/collections/words") {
                return Box::pin(async { loopback::whole(200, "application/json", r#"{"id":"c-1"}"#) });
            }
            let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
            seen.lock().unwrap().push(key.unwrap_or("none").to_owned());
            count.send_modify(|calls| *calls += 1);
            Box::pin(answer(request, behaviour))
        }))
        .await;
        let gone = behaviour == Behaviour::Gone;
        let settings = json!({
            "description": "Says it again.",
            "url": if gone { "http://127.0.0.1:1".to_owned() } else { server.url() },
            "collection": "words",
            "model": "spelling",
            "allow_private": true,
            "timeout": "20s",
            "response_bytes_max": "4KiB",
        });
        assert_eq!((def.kind.check)(&settings), [], "the rig's settings are valid");
        let (name, secrets, embedder) =
            (Name::parse("echo").unwrap(), Secrets::new("."), embedder::spelling());
        let opening = Opening { name: &name, settings: &settings, secrets: &secrets, embedder: &embedder };
        Arc::new(Self { source: (def.open)(opening).unwrap(), keys, calls, server })
    }
}

#[async_trait]
impl Rig for Chroma {
    fn source(&self) -> Arc<dyn ToolSource> {
        Arc::clone(&self.source)
    }

    fn argument(&self) -> &'static str {
        "query"
    }

    /// The first passage's text.
    fn said(&self, output: &ToolOutput) -> String {
        let told: Value = serde_json::from_str(&output.content).unwrap();
        told["passages"][0]["text"].as_str().unwrap().to_owned()
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }

    async fn called(&self) {
        let mut calls = self.calls.clone();
        let called = tokio::time::timeout(Duration::from_secs(10), calls.wait_for(|calls| *calls > 0)).await;
        called.expect("called in time").expect("the server runs");
    }

    async fn caller_gone(&self) {
        self.server.callers_gone(1).await;
    }
}

async fn answer(request: Request, behaviour: Behaviour) -> Answer {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match behaviour {
        Behaviour::Echo => loopback::whole(200, "application/json", found(&body)),
        Behaviour::Fail => loopback::whole(404, "application/json", r#"{"message":"no such ticket"}"#),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Flood => loopback::whole(200, "application/json", vec![b' '; 4097]),
        Behaviour::Break => {
            let cut = Err(std::io::Error::other("cut"));
            let begun = Ok(Bytes::from("{\"ids\":"));
            loopback::pieces(200, "application/json", futures_util::stream::iter([begun, cut]))
        }
        Behaviour::Gone => unreachable!("nobody calls this server"),
    }
}

/// One passage: the text that the query's vector spells.
fn found(body: &[u8]) -> String {
    let query: Value = serde_json::from_slice(body).unwrap();
    let numbers = query["query_embeddings"][0].as_array().unwrap();
    let bytes: Vec<u8> = numbers.iter().map(|number| embedder::byte(number.as_f64().unwrap())).collect();
    let text = String::from_utf8(bytes).unwrap();
    json!({ "ids": [["p-1"]], "documents": [[text]], "metadatas": null, "distances": null }).to_string()
}
