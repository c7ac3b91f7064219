//! The rig of the scripted provider: its script is what the suite's upstream would say.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::provider::{Provider, WireRequest};
use mainstay_providers::Def;
use mainstay_testkit::conformance::provider::{Behaviour, Open, Rig, TEXT};
use mainstay_testkit::fake_upstream::Received;
use serde_json::{Value, json};

use crate::rigs::provider;

/// A script has no such troubles.
pub(crate) const NOT_RUN: &[(&str, &str)] = &[
    ("a_connection_that_breaks_after_the_end_is_no_failure", "not run: there is no connection"),
    ("a_provider_at_work_can_be_told_from_a_silent_one", "not run: a script has no pings"),
    ("a_filtered_answer_says_so", "not run: a script has no such ending"),
    ("a_provider_that_cannot_be_reached_is_unavailable", "not run: there is nothing to reach"),
    ("an_answer_of_another_kind_is_a_bad_response", "not run: there is no wire"),
    ("a_failure_inside_a_stream_keeps_its_class", "not run: a script's streams only break off"),
    (
        "a_stream_that_ends_early_is_a_bad_response_after_what_came",
        "not run: a script's streams only break off",
    ),
];

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |behaviour| {
        let rig: Arc<dyn Rig> = Arc::new(Script(provider(def, &json!({"replies": [reply(behaviour)]}))));
        Box::pin(std::future::ready(rig))
    })
}

fn reply(behaviour: Behaviour) -> Value {
    let usage = json!({"input": 12, "cache_read": 8, "output": 5, "reasoning": 3});
    let call = |city: &str| json!({"name": "weather", "arguments": {"city": city}});
    let mut reply = match behaviour {
        Behaviour::Says("call") => json!({"text": "Looking.", "tool_calls": [call("Oslo")]}),
        Behaviour::Says("calls") => json!({"tool_calls": [call("Oslo"), call("Bergen")]}),
        Behaviour::Says("reasoning") => json!({"reasoning": "Let me see.", "text": "Hei."}),
        Behaviour::Fails(name) => json!({"text": TEXT, "fault": fault(name)}),
        Behaviour::Breaks => json!({"text": TEXT, "fault": {"cut": {"after_tokens": 1}}}),
        Behaviour::Hangs => json!({"text": TEXT, "fault": {"stall": {"after_tokens": 1}}}),
        Behaviour::Silent => json!({"text": TEXT, "fault": {"hang": {}}}),
        _ => json!({"text": TEXT}),
    };
    reply["usage"] = usage;
    reply
}

fn fault(name: &str) -> Value {
    match name {
        "auth" => json!({"status": {"code": 401}}),
        "quota" => json!({"quota": {}}),
        "rate_limited" => json!({"status": {"code": 429, "retry_after_ms": 2000}}),
        "refused" => json!({"content_filter": {}}),
        "invalid" => json!({"status": {"code": 400}}),
        "unknown_model" => json!({"status": {"code": 404}}),
        _ => json!({"status": {"code": 503}}),
    }
}

struct Script(Arc<dyn Provider>);

#[async_trait]
impl Rig for Script {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.0)
    }

    fn wire(&self, _: bool) -> Option<WireRequest> {
        None
    }

    fn recorded(&self, _: bool) -> Bytes {
        Bytes::new()
    }

    fn received(&self) -> Option<Vec<Received>> {
        None
    }

    /// Nobody is called: the answer is awaited from the moment it is asked for.
    async fn called(&self) {}

    /// Nobody is there to notice.
    async fn caller_gone(&self) {}
}
