//! Every kind of tool against the conformance suite. A kind without a peer below fails.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod chroma;
mod served;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use libtest_mimic::{Arguments, Trial};
use mainstay_components::tools::{self, Def};
use mainstay_testkit::conformance::tool::{self as suite, Behaviour, Open};
use mainstay_testkit::loopback::{self, Answer, Request};
use serde_json::{Value, json};

use served::{Own, Served};

fn main() {
    let arguments = Arguments::from_args();
    let trials =
        tools::ALL.iter().flat_map(|def| match peers(def) {
            Some(peers) => peers.into_iter().flat_map(|(name, open)| suite::trials(&name, open)).collect(),
            None => vec![Trial::test(format!("{}::has_a_peer", def.kind.kind), || {
                Err("no peer for this kind".into())
            })],
        });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// What the suite runs a kind against: a name and a way to open it, for each way in which the kind works.
fn peers(def: &'static Def) -> Option<Vec<(String, Open)>> {
    if def.kind.kind == "chroma" {
        return Some(vec![("chroma".to_owned(), chroma::open(def))]);
    }
    let table: &[(&str, &[Value])] = &[(
        "http",
        &[
            json!({"method": "POST", "url": "{base}/echo"}),
            json!({"method": "PUT", "url": "{base}/echo?word={word}"}),
            json!({"method": "DELETE", "url": "{base}/echo"}),
        ],
    )];
    let (kind, ways) = table.iter().find(|(kind, _)| *kind == def.kind.kind)?;
    Some(
        ways.iter()
            .map(|way| (format!("{kind}-{}", way["method"].as_str().unwrap()), http(def, way)))
            .collect(),
    )
}

const HTTP: Own = Own {
    argument: "word",
    is_call: |_| true,
    answer: |request, behaviour| Box::pin(answer(request, behaviour)),
    said: |output| output.content.clone(),
};

fn http(def: &'static Def, way: &Value) -> Open {
    let way = way.clone();
    Arc::new(move |behaviour| {
        let mut settings = way.clone();
        Box::pin(Served::open(def, HTTP, behaviour, move |url| {
            settings["url"] = settings["url"].as_str().unwrap().replace("{base}", url).into();
            settings["parameters"] = json!({"type": "object", "properties": {"word": {"type": "string"}}});
            settings
        }))
    })
}

/// The argument `word` as it arrived, in the query or in the body.
async fn answer(request: Request, behaviour: Behaviour) -> Answer {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match behaviour {
        Behaviour::Echo => loopback::whole(200, "text/plain", word(&query, &body)),
        Behaviour::Fail => loopback::whole(404, "application/json", r#"{"error":"no such ticket"}"#),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Flood => loopback::whole(200, "text/plain", vec![b'x'; 4097]),
        Behaviour::Break => {
            let cut = Err(std::io::Error::other("cut"));
            loopback::pieces(200, "text/plain", futures_util::stream::iter([Ok(Bytes::from("he")), cut]))
        }
        Behaviour::Gone => unreachable!("nobody calls this server"),
    }
}

fn word(query: &str, body: &[u8]) -> String {
    if let Some(encoded) = query.strip_prefix("word=") {
        return decode(encoded);
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    body["word"].as_str().unwrap().to_owned()
}

fn decode(encoded: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (hex, after) = rest.split_at(2);
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
