//! The rig of the local provider: a tiny model file that says what the suite's upstream would say.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::Ctx;
use mainstay_core::message::{Message, Role};
use mainstay_core::model::ModelRequest;
use mainstay_core::provider::{Provider, WireRequest};
use mainstay_providers::Def;
use mainstay_testkit::conformance::provider::{Behaviour, Open, Rig};
use mainstay_testkit::fake_upstream::Received;
use mainstay_testkit::tiny_model::{self, Then};
use serde_json::json;

use crate::rigs::provider;

/// A file in this process has no vendor and no wire.
pub(crate) const NOT_RUN: &[(&str, &str)] = &[
    ("usage_comes_once_in_classes_that_add_up", "not run: it counts its own tokens"),
    (
        "a_whole_answer_says_what_a_stream_says",
        "not run: the second answer reads what the first left in memory",
    ),
    ("reasoning_is_told_apart_from_text", "not run: it does not reason"),
    ("a_filtered_answer_says_so", "not run: nothing is filtered"),
    ("refused_credentials_are_told", "not run: there are no credentials"),
    ("an_empty_account_is_not_a_rate_limit", "not run: there is no account"),
    ("a_rate_limit_says_when_to_come_back", "not run: there is no rate limit"),
    ("a_prompt_that_is_refused_is_told", "not run: nothing is refused"),
    ("a_model_that_the_provider_lacks_is_told", "not run: a missing file is MODEL_FILE_UNAVAILABLE"),
    ("an_overloaded_provider_may_be_asked_again", "not run: a full queue is OVERLOADED"),
    ("a_provider_that_cannot_be_reached_is_unavailable", "not run: there is nothing to reach"),
    ("an_answer_of_another_kind_is_a_bad_response", "not run: there is no wire"),
    ("a_stream_that_breaks_is_a_bad_response_after_what_came", "not run: there is no connection"),
    ("a_stream_that_ends_early_is_a_bad_response_after_what_came", "not run: there is no connection"),
    ("a_whole_answer_that_breaks_is_a_bad_response", "not run: there is no connection"),
    ("a_connection_that_breaks_after_the_end_is_no_failure", "not run: there is no connection"),
    ("a_failure_inside_a_stream_keeps_its_class", "not run: an answer that has begun does not fail"),
];

/// Tokens of a conversation.
const CONTEXT_TOKENS: u32 = 4096;

/// Longest wait for the model's next answer.
const FREE_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |behaviour| {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("suite.gguf");
        let (words, then) = speech(behaviour);
        // A prompt takes more than the least context that the settings allow.
        let context = if behaviour == Behaviour::Fails("invalid") { 16 } else { CONTEXT_TOKENS };
        tiny_model::write_speaker(&file, context, words, then);
        let settings = json!({"path": file, "threads": 1, "context_tokens_max": CONTEXT_TOKENS});
        let rig: Arc<dyn Rig> = Arc::new(Local { provider: provider(def, &settings), _folder: folder });
        Box::pin(std::future::ready(rig))
    })
}

/// What the model says, token by token.
fn speech(behaviour: Behaviour) -> (&'static [&'static [u8]], Then) {
    const OSLO: &[u8] = br#"<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>"#;
    const BERGEN: &[u8] = br#"<tool_call>{"name": "weather", "arguments": {"city": "Bergen"}}</tool_call>"#;
    match behaviour {
        Behaviour::Says("call") => (&[b"Looking.", OSLO], Then::Ends),
        Behaviour::Says("calls") => (&[OSLO, BERGEN], Then::Ends),
        Behaviour::Hangs | Behaviour::Silent => (&[b"Hei ", b"la "], Then::Repeats),
        // The first byte of two: nothing can be said of it yet.
        Behaviour::Thinks => (&[b"Hei ", b"\xc3"], Then::Repeats),
        // `på `, in UTF-8.
        _ => (&[b"Hei ", b"p\xc3\xa5 ", b"deg."], Then::Ends),
    }
}

struct Local {
    provider: Arc<dyn Provider>,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Rig for Local {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider)
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

    /// Nobody else is called: the answer is awaited from the moment it is asked for.
    async fn called(&self) {}

    /// The model serves the next caller, and it serves one at a time. That it leaves off at once the engine's own tests
    /// show.
    async fn caller_gone(&self) {
        let messages = vec![Message::text(Role::User, "Are you free?")];
        let request = ModelRequest { messages, max_tokens: Some(1), ..ModelRequest::default() };
        let ctx = Ctx::system();
        let answer = tokio::time::timeout(FREE_WITHIN, self.provider.complete(&ctx, request));
        assert!(answer.await.expect("the model leaves off when its caller does").is_ok());
    }
}
