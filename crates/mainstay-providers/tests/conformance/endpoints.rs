//! Rigs of the kinds that call an endpoint: against the fake upstream in their dialect.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::provider::{Provider, WireRequest};
use mainstay_dialects::{Codec, anthropic, gemini, openai_chat};
use mainstay_providers::Def;
use mainstay_testkit::conformance::provider::{Behaviour, MODEL_ASKED, Open, Rig};
use mainstay_testkit::fake_upstream::{FakeUpstream, Received, recorded};
use serde_json::json;

use crate::rigs::{KEY, provider};

/// Gemini has no status for a prompt that its filter refuses: it answers, and says so there.
pub(crate) const GEMINI_NOT_RUN: &[(&str, &str)] =
    &[("a_prompt_that_is_refused_is_told", "not run: the vendor answers such a prompt with 200")];

/// What a rig must know of a kind.
#[derive(Clone, Copy)]
struct Wire {
    codec: &'static Codec,
    /// The path of the base URL.
    base: &'static str,
    /// The header that carries the key, and what it holds.
    key: (&'static str, &'static str),
    /// A request of a client.
    body: &'static str,
}

pub(crate) fn openai(def: &'static Def) -> Open {
    open(
        def,
        Wire {
            codec: &openai_chat::CODEC,
            base: "/v1",
            key: ("authorization", "Bearer key-of-the-suite"),
            body: r#"{"z_unknown": {"b":1, "a":2}, "model" : "fast","messages":[{"role":"user","content":"Say \"hello\"."}],"temperature":0.50"#,
        },
    )
}

pub(crate) fn anthropic(def: &'static Def) -> Open {
    open(
        def,
        Wire {
            codec: &anthropic::CODEC,
            base: "",
            key: ("x-api-key", "key-of-the-suite"),
            body: r#"{"z_unknown": {"b":1, "a":2}, "model" : "fast","max_tokens":99,"messages":[{"role":"user","content":"Say \"hello\"."}]"#,
        },
    )
}

pub(crate) fn gemini(def: &'static Def) -> Open {
    open(
        def,
        Wire {
            codec: &gemini::CODEC,
            base: "/v1beta",
            key: ("x-goog-api-key", "key-of-the-suite"),
            body: r#"{"z_unknown": {"b":1, "a":2}, "contents":[{"role":"user","parts":[{"text":"Say \"hello\"."}]}]"#,
        },
    )
}

fn open(def: &'static Def, wire: Wire) -> Open {
    Arc::new(move |behaviour: Behaviour| {
        Box::pin(async move {
            let upstream = FakeUpstream::start(wire.codec.dialect.0, behaviour).await;
            let base_url = format!("{}{}", upstream.url(), wire.base);
            let provider = provider(def, &json!({"api_key": "env:SUITE_KEY", "base_url": base_url}));
            Arc::new(Endpoint { wire, upstream, provider }) as Arc<dyn Rig>
        })
    })
}

struct Endpoint {
    wire: Wire,
    upstream: FakeUpstream,
    provider: Arc<dyn Provider>,
}

#[async_trait]
impl Rig for Endpoint {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider)
    }

    fn wire(&self, stream: bool) -> Option<WireRequest> {
        // Gemini streams by its path, the others by a field.
        let by_field = stream && self.wire.codec.dialect != gemini::DIALECT;
        let ending = if by_field { r#","stream":true}"# } else { "}" };
        let body = Bytes::from(format!("{}{ending}", self.wire.body));
        let envelope = (self.wire.codec.envelope)(&body).expect("the client's request is sound");
        Some(WireRequest {
            dialect: self.wire.codec.dialect,
            model: MODEL_ASKED.to_owned(),
            model_span: envelope.model_span.clone(),
            edits: envelope.meter_edits.clone(),
            stream,
            strip_usage: envelope.strip_usage,
            headers: Vec::new(),
            body: body.clone(),
        })
    }

    fn recorded(&self, stream: bool) -> Bytes {
        recorded(self.wire.codec.dialect.0, if stream { "text.sse" } else { "text.json" })
    }

    /// With every request, the key must have come in its place.
    fn received(&self) -> Option<Vec<Received>> {
        let (name, value) = self.wire.key;
        let received = self.upstream.received();
        for request in &received {
            let sent = request.headers.get(name).and_then(|sent| sent.to_str().ok());
            assert_eq!(sent, Some(value), "the key did not come in `{name}`");
            let elsewhere =
                request.path.contains(KEY) || String::from_utf8_lossy(&request.body).contains(KEY);
            assert!(!elsewhere, "the key came where it gets logged");
        }
        Some(received)
    }

    async fn called(&self) {
        self.upstream.called().await;
    }

    async fn caller_gone(&self) {
        self.upstream.caller_gone().await;
    }
}
