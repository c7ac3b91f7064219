//! What every `RunJournal` must do. To add a check: an `async fn` in a file below and its name in that file's list.
//!
//! Each check gets an empty journal of its own and panics where a promise is broken. Survival of crashes is not
//! checked here, because the suite cannot open a member twice; members test that themselves.

mod appends;
mod events;
mod retention;
mod runs;
mod sessions;

use std::any::Any;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::journal::{RunFilter, RunJournal, RunRecord};
use mainstay_core::run::{Run, RunEvent, RunEventKind, RunInput, RunStatus};
use mainstay_core::{Ctx, Name, RunId, SessionId};

/// An empty journal, and whatever must live as long (a temporary folder).
pub type Fresh = (Arc<dyn RunJournal>, Box<dyn Any + Send>);

/// One promise of the port.
#[derive(Clone, Copy)]
pub struct Check {
    /// The promise, as a test's name.
    pub name: &'static str,
    /// Panics when the journal breaks it.
    pub run: fn(Arc<dyn RunJournal>) -> BoxFuture<'static, ()>,
}

/// Every check, in the order of the files.
pub fn checks() -> impl Iterator<Item = Check> {
    [appends::CHECKS, runs::CHECKS, events::CHECKS, sessions::CHECKS, retention::CHECKS]
        .into_iter()
        .flatten()
        .copied()
}

/// The suite as tests named `<member>::<promise>`; `fresh` is called once for each.
pub fn trials(member: &str, fresh: impl Fn() -> Fresh + Clone + Send + 'static) -> Vec<Trial> {
    checks()
        .map(|check| {
            let fresh = fresh.clone();
            Trial::test(format!("{member}::{}", check.name), move || {
                prove(check, fresh());
                Ok(())
            })
        })
        .collect()
}

/// Runs one check on a runtime of two threads. Panics when the promise is broken.
pub fn prove(check: Check, (journal, _keep): Fresh) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime of two threads starts").block_on((check.run)(journal));
}

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { name: stringify!($name), run: |journal| Box::pin($name(journal)) }),*];
    };
}
use promises;

/// The journal under test.
type Journal = Arc<dyn RunJournal>;

fn run_id(text: &str) -> RunId {
    RunId::parse(text).expect("the suite's run ids are well-formed")
}

fn session_id(text: &str) -> SessionId {
    SessionId::parse(text).expect("the suite's session ids are well-formed")
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("the suite's names are well-formed")
}

/// A run of agent `helper` in `status`, created and changed at `at_ms`.
fn run(id: &str, status: RunStatus, at_ms: u64) -> Run {
    Run {
        id: run_id(id),
        agent: name("helper"),
        session: None,
        status,
        background: false,
        principal: "anonymous".to_owned(),
        created_ms: at_ms,
        updated_ms: at_ms,
        input: RunInput { query: "what now?".to_owned(), ..RunInput::default() },
        messages: Vec::new(),
        answer: None,
        model: None,
        finish_reason: None,
        error: None,
        usage: mainstay_core::model::Usage::default(),
        steps: 0,
    }
}

fn in_session(mut run: Run, session: &str) -> Run {
    run.session = Some(session_id(session));
    run
}

fn text(seq: u64, delta: &str) -> RunEvent {
    RunEvent { seq, at_ms: 1_000 + seq, kind: RunEventKind::Text { delta: delta.to_owned() } }
}

fn record(run: Run) -> RunRecord {
    RunRecord::Run(Box::new(run))
}

fn event(run: &str, event: RunEvent) -> RunRecord {
    RunRecord::Event { run: run_id(run), event }
}

/// Appends, and panics where that fails.
async fn keep(journal: &Journal, records: Vec<RunRecord>) {
    journal.append(&Ctx::system(), records).await.expect("the append is acknowledged");
}

/// The ids of the runs that match, in the order listed.
async fn listed(journal: &Journal, filter: RunFilter) -> Vec<String> {
    let page = journal.runs(&Ctx::system(), &filter).await.expect("the runs are listed");
    assert!(page.unreadable.is_empty(), "what was kept can be read");
    page.runs.iter().map(|run| run.id.to_string()).collect()
}

/// The numbers of the run's events.
async fn seqs(journal: &Journal, run: &str, after: u64, limit: usize) -> Vec<u64> {
    let page = journal.events(&Ctx::system(), &run_id(run), after, limit).await;
    page.expect("the events are read").events.iter().map(|event| event.seq).collect()
}

/// All events of the run, page by page.
async fn all_events(journal: &Journal, run: &str) -> Vec<RunEvent> {
    let mut events: Vec<RunEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page =
            journal.events(&Ctx::system(), &run_id(run), after, 99).await.expect("the events are read");
        assert!(!(page.events.is_empty() && page.more), "a page before the last holds something");
        events.extend(page.events);
        if !page.more {
            return events;
        }
    }
}
