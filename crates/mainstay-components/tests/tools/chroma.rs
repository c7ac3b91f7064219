//! A server that answers a query with the text that its vector spells, as told.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mainstay_components::tools::Def;
use mainstay_core::tool::ToolOutput;
use mainstay_testkit::conformance::tool::{Behaviour, Open};
use mainstay_testkit::embedder;
use mainstay_testkit::loopback::{self, Answer, Request};
use serde_json::{Value, json};

use crate::served::{Own, Served};

const OWN: Own = Own {
    argument: "query",
    is_call: |request| !finds_the_collection(request),
    answer: |request, behaviour| Box::pin(answer(request, behaviour)),
    said,
};

pub(crate) fn open(def: &'static Def) -> Open {
    let settings = |url: &str| json!({ "url": url, "collection": "words", "model": "spelling" });
    Arc::new(move |behaviour| Box::pin(Served::open(def, OWN, behaviour, settings)))
}

fn finds_the_collection(request: &Request) -> bool {
    request.uri().path().ends_with("/collections/words")
}

/// The first passage's text.
fn said(output: &ToolOutput) -> String {
    let told: Value = serde_json::from_str(&output.content).unwrap();
    told["passages"][0]["text"].as_str().unwrap().to_owned()
}

async fn answer(request: Request, behaviour: Behaviour) -> Answer {
    if finds_the_collection(&request) {
        return loopback::whole(200, "application/json", r#"{"id":"c-1"}"#);
    }
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
