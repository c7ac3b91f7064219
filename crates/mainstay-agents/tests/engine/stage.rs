//! The stage that the tests play on: an engine over fakes, and the few words to drive it.

pub(crate) mod app;
pub(crate) mod journal;
pub(crate) mod model;
pub(crate) mod tool;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mainstay_agents::{Engine, Entry, Ports, RunHandle, Start, Table};
use mainstay_core::app::App;
use mainstay_core::clock::ManualClock;
use mainstay_core::model::ModelClient;
use mainstay_core::plan::{Agent, AgentKind, AppPlan, Declared, OnDisconnect, Process, SessionPolicy};
use mainstay_core::run::{Run, RunEvent, RunEventKind, RunInput};
use mainstay_core::tool::ToolSource;
use mainstay_core::{BoxStream, Ctx, Name, Principal, RequestId, Result, SessionId};
use mainstay_testkit::telemetry::Seen;

use self::journal::Watched;

/// How long a test waits for what must come; far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn ses(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

/// The caller that most tests play.
pub(crate) fn ctx() -> Ctx {
    caller("tester")
}

pub(crate) fn caller(key: &str) -> Ctx {
    Ctx::new(RequestId::generate(), Principal::Key(name(key)))
}

/// Waits for `what`, or fails the test.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it did not come")
}

/// Yields until the condition holds, or fails the test.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn collect(events: BoxStream<Result<RunEvent>>) -> Vec<Result<RunEvent>> {
    soon(events.collect()).await
}

/// All events of a stream that ends well.
pub(crate) async fn all(events: BoxStream<Result<RunEvent>>) -> Vec<RunEvent> {
    collect(events).await.into_iter().collect::<Result<_>>().unwrap()
}

pub(crate) fn seqs(events: &[RunEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

pub(crate) fn names(events: &[RunEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.name()).collect()
}

/// The text that the events spell.
pub(crate) fn spelled(events: &[RunEvent]) -> String {
    let delta = |event: &RunEvent| match &event.kind {
        RunEventKind::Text { delta } => Some(delta.clone()),
        _ => None,
    };
    events.iter().filter_map(delta).collect()
}

/// A declared agent without tools.
pub(crate) fn declared() -> Declared {
    Declared {
        model: name("m"),
        instructions: String::new(),
        tools: Vec::new(),
        steps_max: 8,
        max_tokens: None,
        temperature: None,
        history_messages_max: 20,
        parallel_tools_max: 4,
    }
}

pub(crate) fn agent(kind: AgentKind) -> Agent {
    Agent {
        kind,
        description: String::new(),
        sessions: SessionPolicy::Reject,
        concurrency_max: 1_000,
        timeout: Duration::from_secs(600),
        on_disconnect: OnDisconnect::Continue,
        fallbacks: Vec::new(),
    }
}

pub(crate) fn app_plan() -> AgentKind {
    AgentKind::App(AppPlan {
        process: Process {
            url: "http://127.0.0.1:1".into(),
            command: None,
            env: Vec::new(),
            health_path: "/health".into(),
            start_timeout: Duration::from_secs(1),
        },
        invoke_path: "/invoke".into(),
        stream_path: None,
        response_bytes_max: 1 << 20,
    })
}

/// What a test builds its one agent, called `a`, from.
pub(crate) struct Cast {
    pub(crate) agent: Agent,
    pub(crate) tools: BTreeMap<Name, Arc<dyn ToolSource>>,
    pub(crate) app: Option<Arc<dyn App>>,
}

impl Cast {
    pub(crate) fn plain() -> Self {
        Self::declared(declared())
    }

    pub(crate) fn declared(plan: Declared) -> Self {
        Self { agent: agent(AgentKind::Declared(plan)), tools: BTreeMap::new(), app: None }
    }

    pub(crate) fn with_policy(policy: SessionPolicy) -> Self {
        let mut cast = Self::plain();
        cast.agent.sessions = policy;
        cast
    }

    pub(crate) fn with_tool(tool: Arc<dyn ToolSource>) -> Self {
        let mut cast = Self::declared(Declared { tools: vec![name("t")], ..declared() });
        cast.tools.insert(name("t"), tool);
        cast
    }

    pub(crate) fn with_app(app: Arc<dyn App>) -> Self {
        Self { agent: agent(app_plan()), tools: BTreeMap::new(), app: Some(app) }
    }

    pub(crate) fn table(self) -> Table {
        let entry = Entry { agent: self.agent, tools: self.tools, app: self.app };
        Table { agents: [(name("a"), entry)].into(), default_agent: Some(name("a")) }
    }
}

/// An engine and what it stands on.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) journal: Arc<Watched>,
    pub(crate) telemetry: Arc<Seen>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Stage {
    pub(crate) fn new(model: Arc<dyn ModelClient>, cast: Cast) -> Self {
        Self::on(Arc::new(Watched::default()), model, cast)
    }

    pub(crate) fn on(journal: Arc<Watched>, model: Arc<dyn ModelClient>, cast: Cast) -> Self {
        let (telemetry, clock) = (Arc::new(Seen::default()), Arc::new(ManualClock::at(1_000)));
        let ports = Ports {
            journal: journal.clone(),
            models: model,
            clock: clock.clone(),
            telemetry: telemetry.clone(),
        };
        Self { engine: Engine::new(ports, cast.table()), journal, telemetry, clock }
    }

    /// Starts a run of `a`.
    pub(crate) async fn start(&self, start: Start) -> Result<RunHandle> {
        soon(self.engine.start(&ctx(), &name("a"), start)).await
    }

    /// Starts a run and waits for its end.
    pub(crate) async fn invoke(&self, start: Start) -> Run {
        let handle = self.start(start).await.unwrap();
        soon(handle.wait()).await.unwrap()
    }

    /// The events on record.
    pub(crate) async fn recorded(&self, run: &mainstay_core::RunId) -> Vec<RunEvent> {
        use mainstay_core::journal::RunJournal;
        let page = self.journal.inner.events(&ctx(), run, 0, 100_000).await.unwrap();
        assert!(!page.more, "a page holds all events of a test's run");
        page.events
    }
}

pub(crate) fn ask(query: &str) -> Start {
    Start { input: RunInput { query: query.into(), ..RunInput::default() }, stream: true, ..Start::default() }
}

pub(crate) fn ask_in(session: &str, query: &str) -> Start {
    Start { session: Some(ses(session)), ..ask(query) }
}
