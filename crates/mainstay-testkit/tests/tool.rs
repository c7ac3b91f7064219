//! The tool suite over a fake, and over fakes with planted faults: a suite that lets one pass is no suite.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource, ToolSpec};
use mainstay_core::{Code, Ctx, Error, Result, codes};
use mainstay_testkit::conformance::tool::{self, Behaviour, Open, Rig};
use parking::Events;

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials = tool::trials("fake", opener(None));
    trials.extend(FAULTS.iter().map(|(fault, caught_by)| {
        Trial::test(format!("planted::{fault:?}"), move || caught(*fault, caught_by))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    NoSchema,
    LosesArguments,
    HidesFailure,
    AnswersAnyName,
    IgnoresDeadline,
    IgnoresPastDeadline,
    CutsLongAnswers,
    RetriesBrokenCalls,
    MistakesUnreachable,
    OutlivesItsCaller,
    FreshKeys,
}

/// Each fault with the check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::NoSchema, "tools_are_listed_in_a_stable_order_with_schemas_of_objects"),
    (Fault::LosesArguments, "a_call_carries_its_arguments_and_returns_the_answer"),
    (Fault::HidesFailure, "a_failure_that_the_tool_reports_is_an_answer"),
    (Fault::AnswersAnyName, "a_tool_that_is_not_on_offer_is_not_found"),
    (Fault::IgnoresDeadline, "the_deadline_of_the_context_bounds_a_call"),
    (Fault::IgnoresPastDeadline, "a_deadline_that_has_passed_makes_no_call"),
    (Fault::CutsLongAnswers, "an_answer_beyond_the_bound_is_an_error_and_not_cut"),
    (Fault::RetriesBrokenCalls, "a_connection_that_breaks_is_an_error"),
    (Fault::MistakesUnreachable, "a_peer_that_cannot_be_reached_is_unavailable"),
    (Fault::OutlivesItsCaller, "dropping_a_call_is_noticed_by_the_peer"),
    (Fault::FreshKeys, "every_attempt_of_a_call_carries_the_same_key"),
];

fn caught(fault: Fault, caught_by: &str) -> std::result::Result<(), libtest_mimic::Failed> {
    let check = tool::CHECKS.iter().find(|check| check.name == caught_by).copied();
    let check = check.ok_or_else(|| format!("no check is called `{caught_by}`"))?;
    let outcome = std::panic::catch_unwind(|| tool::prove(check, opener(Some(fault))));
    if outcome.is_ok() { Err("the suite let it pass".into()) } else { Ok(()) }
}

fn opener(fault: Option<Fault>) -> Open {
    Arc::new(move |behaviour| {
        let rig: Arc<dyn Rig> =
            Arc::new(Fake { source: Arc::new(Source { behaviour, fault, events: Events::default() }) });
        Box::pin(std::future::ready(rig))
    })
}

struct Fake {
    source: Arc<Source>,
}

#[async_trait]
impl Rig for Fake {
    fn source(&self) -> Arc<dyn ToolSource> {
        Arc::clone(&self.source) as _
    }

    fn keys(&self) -> Vec<String> {
        self.source.events.keys()
    }

    async fn called(&self) {
        self.source.events.wait(|seen| !seen.keys.is_empty()).await;
    }

    async fn caller_gone(&self) {
        self.source.events.wait(|seen| seen.gone > 0).await;
    }
}

struct Source {
    behaviour: Behaviour,
    fault: Option<Fault>,
    events: Events,
}

impl Source {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

fn failed<T>(code: &'static Code) -> Result<T> {
    Err(Error::new(code, "the fake fails as told"))
}

fn said(content: &str, is_error: bool) -> Result<ToolOutput> {
    Ok(ToolOutput { content: content.to_owned(), is_error })
}

#[async_trait]
impl ToolSource for Source {
    async fn tools(&self, _: &Ctx) -> Result<Vec<ToolSpec>> {
        let kind = if self.has(Fault::NoSchema) { "string" } else { "object" };
        Ok(vec![ToolSpec {
            name: "echo".to_owned(),
            description: "Says it again.".to_owned(),
            parameters: serde_json::json!({"type": kind}),
            strict: None,
        }])
    }

    async fn call(&self, ctx: &Ctx, call: &ToolInvocation) -> Result<ToolOutput> {
        if call.name != "echo" && !self.has(Fault::AnswersAnyName) {
            return failed(&codes::TOOL_NOT_FOUND);
        }
        let left = ctx.remaining(Instant::now()).unwrap_or(Duration::from_secs(60));
        if left.is_zero() && !self.has(Fault::IgnoresPastDeadline) {
            return failed(&codes::TOOL_TIMEOUT);
        }
        if self.behaviour == Behaviour::Gone {
            let mistaken = self.has(Fault::MistakesUnreachable);
            return failed(if mistaken { &codes::TOOL_TIMEOUT } else { &codes::TOOL_UNAVAILABLE });
        }
        let fresh = RunKey(self.has(Fault::FreshKeys));
        self.events.took(&fresh.of(&call.idempotency_key));
        match self.behaviour {
            Behaviour::Echo if self.has(Fault::LosesArguments) => said("something", false),
            Behaviour::Echo => said(call.arguments["word"].as_str().unwrap_or_default(), false),
            Behaviour::Fail => said("no such ticket", !self.has(Fault::HidesFailure)),
            Behaviour::Flood if self.has(Fault::CutsLongAnswers) => said("the beginning of much", false),
            Behaviour::Flood => failed(&codes::TOOL_RESPONSE_TOO_LARGE),
            Behaviour::Break => {
                if self.has(Fault::RetriesBrokenCalls) {
                    self.events.took(&call.idempotency_key);
                }
                failed(&codes::TOOL_UNAVAILABLE)
            }
            Behaviour::Hang => self.hang(left).await,
            Behaviour::Gone => unreachable!("answered above"),
        }
    }
}

impl Source {
    async fn hang(&self, left: Duration) -> Result<ToolOutput> {
        let watch = (!self.has(Fault::OutlivesItsCaller)).then(|| self.events.watch_caller());
        if self.has(Fault::IgnoresDeadline) {
            return failed(&codes::TOOL_TIMEOUT);
        }
        tokio::time::sleep(left).await;
        drop(watch);
        failed(&codes::TOOL_TIMEOUT)
    }
}

struct RunKey(bool);

impl RunKey {
    fn of(&self, key: &str) -> String {
        if self.0 { mainstay_core::RunId::generate().to_string() } else { key.to_owned() }
    }
}

/// What the fake's peer has seen.
mod parking {
    use std::time::Duration;
    use tokio::sync::watch;

    #[derive(Default)]
    pub(super) struct Seen {
        pub(super) keys: Vec<String>,
        pub(super) gone: usize,
    }

    pub(super) struct Events(watch::Sender<Seen>);

    impl Default for Events {
        fn default() -> Self {
            Self(watch::channel(Seen::default()).0)
        }
    }

    pub(super) struct Caller(watch::Sender<Seen>);

    impl Drop for Caller {
        fn drop(&mut self) {
            self.0.send_modify(|seen| seen.gone += 1);
        }
    }

    impl Events {
        pub(super) fn took(&self, key: &str) {
            self.0.send_modify(|seen| seen.keys.push(key.to_owned()));
        }

        pub(super) fn keys(&self) -> Vec<String> {
            self.0.borrow().keys.clone()
        }

        pub(super) fn watch_caller(&self) -> Caller {
            Caller(self.0.clone())
        }

        pub(super) async fn wait(&self, until: impl FnMut(&Seen) -> bool) {
            let mut seen = self.0.subscribe();
            let waited = tokio::time::timeout(Duration::from_secs(5), seen.wait_for(until)).await;
            waited.expect("seen in time").expect("the fake lives");
        }
    }
}
