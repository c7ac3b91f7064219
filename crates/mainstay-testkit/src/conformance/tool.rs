//! What every `ToolSource` must do. To add a check: an `async fn` below and its name in `CHECKS`.
//!
//! Each check opens a source of its own against a peer that behaves as told, and panics where a promise is broken. What
//! a kind makes of its settings, and which addresses it may reach, it tests itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource};
use mainstay_core::{Ctx, Error, Result, RunId};
use serde_json::{Map, Value};

use super::suite;
pub use super::suite::prove;

/// How the peer behind the source behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers with a text that holds the argument as it was received.
    Echo,
    /// Reports a failure whose text holds `no such ticket`.
    Fail,
    /// Takes the call and never answers.
    Hang,
    /// Answers with more than the source accepts.
    Flood,
    /// Takes the call and breaks the connection.
    Break,
    /// Cannot be reached.
    Gone,
}

/// A source, and the peer that it talks to.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The source under test.
    fn source(&self) -> Arc<dyn ToolSource>;
    /// The argument that is passed on.
    fn argument(&self) -> &'static str {
        "word"
    }
    /// The text that the peer answered with, as it stands in the tool's answer.
    fn said(&self, output: &ToolOutput) -> String {
        output.content.clone()
    }
    /// The idempotency keys that the peer has received, in order.
    fn keys(&self) -> Vec<String>;
    /// Waits until the peer has taken a call.
    async fn called(&self);
    /// Waits until the peer has noticed that its caller went away.
    async fn caller_gone(&self);
}

/// Opens a source against a peer that behaves so. Its own timeout must be longer than ten seconds, and its only tool
/// must take an optional text under the rig's argument.
pub type Open = Arc<dyn Fn(Behaviour) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// Every check.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}
promises! {
    tools_are_listed_in_a_stable_order_with_schemas_of_objects,
    a_call_carries_its_arguments_and_returns_the_answer,
    a_failure_that_the_tool_reports_is_an_answer,
    a_tool_that_is_not_on_offer_is_not_found,
    the_deadline_of_the_context_bounds_a_call,
    a_deadline_that_has_passed_makes_no_call,
    an_answer_beyond_the_bound_is_an_error_and_not_cut,
    a_connection_that_breaks_is_an_error,
    a_peer_that_cannot_be_reached_is_unavailable,
    dropping_a_call_is_noticed_by_the_peer,
    every_attempt_of_a_call_carries_the_same_key,
    calls_run_side_by_side,
}

/// The suite as tests named `<member>::<promise>`.
pub fn trials(member: &str, open: Open) -> Vec<Trial> {
    suite::trials(member, &open, CHECKS.iter().copied(), &[])
}

async fn tool_name(source: &dyn ToolSource) -> String {
    let tools = source.tools(&Ctx::system()).await.expect("the tools are listed");
    tools.first().expect("there is a tool").name.clone()
}

fn invocation(name: &str, argument: &str, word: &str, key: &str) -> ToolInvocation {
    ToolInvocation {
        run: RunId::generate(),
        name: name.to_owned(),
        arguments: Map::from_iter([(argument.to_owned(), Value::from(word))]),
        idempotency_key: key.to_owned(),
    }
}

async fn call(rig: &Arc<dyn Rig>, ctx: &Ctx, word: &str, key: &str) -> Result<ToolOutput> {
    let source = rig.source();
    let name = tool_name(source.as_ref()).await;
    source.call(ctx, &invocation(&name, rig.argument(), word, key)).await
}

async fn failure(rig: &Arc<dyn Rig>, ctx: &Ctx, code: &str) -> Error {
    let error = call(rig, ctx, "w", "k").await.expect_err("the call fails");
    assert_eq!(error.code().id, code, "{error:?}");
    error
}

async fn tools_are_listed_in_a_stable_order_with_schemas_of_objects(open: Open) {
    let source = open(Behaviour::Echo).await.source();
    let tools = source.tools(&Ctx::system()).await.expect("the tools are listed");
    let names: HashSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert!(!tools.is_empty() && names.len() == tools.len(), "names are not unique: {names:?}");
    for tool in &tools {
        assert_eq!(tool.parameters["type"], "object", "{}", tool.name);
        assert!(!tool.description.is_empty(), "{} says nothing of itself", tool.name);
    }
    assert_eq!(
        source.tools(&Ctx::system()).await.expect("the tools are listed"),
        tools,
        "the order is not stable"
    );
}

async fn a_call_carries_its_arguments_and_returns_the_answer(open: Open) {
    let rig = open(Behaviour::Echo).await;
    for word in ["plain", "späce & more=%20/..", "\u{1f980} \"quoted\"\n", ""] {
        let output = call(&rig, &Ctx::system(), word, "k").await.expect("the call is answered");
        assert!(rig.said(&output).contains(word), "{word:?} is not in {:?}", output.content);
        assert!(!output.is_error);
    }
}

async fn a_failure_that_the_tool_reports_is_an_answer(open: Open) {
    let rig = open(Behaviour::Fail).await;
    let output = call(&rig, &Ctx::system(), "w", "k").await.expect("a reported failure is an answer");
    assert!(output.is_error && output.content.contains("no such ticket"), "{output:?}");
}

async fn a_tool_that_is_not_on_offer_is_not_found(open: Open) {
    let rig = open(Behaviour::Echo).await;
    let outcome =
        rig.source().call(&Ctx::system(), &invocation("no-such-tool", rig.argument(), "w", "k")).await;
    assert_eq!(outcome.expect_err("there is no such tool").code().id, "TOOL_NOT_FOUND");
    assert!(rig.keys().is_empty(), "the peer was called all the same");
}

async fn the_deadline_of_the_context_bounds_a_call(open: Open) {
    let rig = open(Behaviour::Hang).await;
    let started = Instant::now();
    let ctx = Ctx::system().with_deadline(started + Duration::from_millis(200));
    failure(&rig, &ctx, "TOOL_TIMEOUT").await;
    assert!(started.elapsed() >= Duration::from_millis(190), "it gave up before the deadline");
    assert!(started.elapsed() < Duration::from_secs(8), "it waited for its own timeout");
    rig.caller_gone().await;
}

async fn a_deadline_that_has_passed_makes_no_call(open: Open) {
    let rig = open(Behaviour::Echo).await;
    failure(&rig, &Ctx::system().with_deadline(Instant::now()), "TOOL_TIMEOUT").await;
    assert!(rig.keys().is_empty(), "the peer was called all the same");
}

async fn an_answer_beyond_the_bound_is_an_error_and_not_cut(open: Open) {
    let rig = open(Behaviour::Flood).await;
    failure(&rig, &Ctx::system(), "TOOL_RESPONSE_TOO_LARGE").await;
}

async fn a_connection_that_breaks_is_an_error(open: Open) {
    let rig = open(Behaviour::Break).await;
    failure(&rig, &Ctx::system(), "TOOL_UNAVAILABLE").await;
    assert_eq!(rig.keys().len(), 1, "a call is made once");
}

async fn a_peer_that_cannot_be_reached_is_unavailable(open: Open) {
    let rig = open(Behaviour::Gone).await;
    failure(&rig, &Ctx::system(), "TOOL_UNAVAILABLE").await;
}

async fn dropping_a_call_is_noticed_by_the_peer(open: Open) {
    let rig = open(Behaviour::Hang).await;
    let caller = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { call(&rig, &Ctx::system(), "w", "k").await })
    };
    rig.called().await;
    caller.abort();
    rig.caller_gone().await;
}

async fn every_attempt_of_a_call_carries_the_same_key(open: Open) {
    let rig = open(Behaviour::Echo).await;
    for key in ["call-1", "call-1", "call-2"] {
        call(&rig, &Ctx::system(), "w", key).await.expect("the call is answered");
    }
    assert_eq!(rig.keys(), ["call-1", "call-1", "call-2"]);
}

async fn calls_run_side_by_side(open: Open) {
    let rig = open(Behaviour::Echo).await;
    let one = |word: &'static str| {
        let rig = Arc::clone(&rig);
        async move {
            let output = call(&rig, &Ctx::system(), word, word).await.expect("the call is answered");
            assert!(rig.said(&output).contains(word), "answers were mixed up: {output:?}");
        }
    };
    tokio::join!(one("alpha"), one("beta"), one("gamma"), one("delta"));
}
