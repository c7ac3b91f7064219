//! Two runs of a session are never at work at once, and the policy says what becomes of the second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mainstay_agents::Start;
use mainstay_core::journal::RunFilter;
use mainstay_core::model::{ModelClient, ModelEvent, ModelRequest, ModelStream};
use mainstay_core::plan::SessionPolicy;
use mainstay_core::run::{Run, RunEventKind, RunStatus};
use mainstay_core::telemetry::Gauge;
use mainstay_core::{Ctx, Result};
use parking_lot::Mutex;

use crate::stage::model::{Ruled, puppet, question, says};
use crate::stage::{Cast, Stage, ask, ask_in, ctx, names, ses, soon, until};

const ENQUEUE: SessionPolicy = SessionPolicy::Enqueue { waiting_max: 2 };

fn code(error: Option<mainstay_core::Error>) -> &'static str {
    error.map_or("none", |error| error.code().id)
}

#[tokio::test]
async fn reject_refuses_the_second_message_until_the_first_is_answered() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Reject));
    let first = stage.start(ask_in("s", "a")).await.unwrap();
    assert_eq!(code(stage.start(ask_in("s", "b")).await.err()), "SESSION_BUSY");
    assert!(stage.start(ask_in("other", "c")).await.is_ok(), "other sessions go on");
    strings.call().await.end().await;
    soon(first.wait()).await.unwrap();
    assert!(stage.start(ask_in("s", "d")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_the_end_of_a_run_finds_its_session_free() {
    let stage = Stage::new(Ruled::echo(), Cast::with_policy(SessionPolicy::Reject));
    for _ in 0..500 {
        assert_eq!(stage.invoke(ask_in("s", "a")).await.status, RunStatus::Completed);
    }
}

#[tokio::test]
async fn enqueue_lets_messages_wait_in_order_up_to_the_bound() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(ENQUEUE));
    let mut handles = Vec::new();
    for query in ["a", "b", "c"] {
        handles.push(stage.start(ask_in("s", query)).await.unwrap());
    }
    assert_eq!(code(stage.start(ask_in("s", "d")).await.err()), "SESSION_BUSY");
    let (active, queued) = (Gauge::RunsActive, Gauge::RunsQueued);
    assert_eq!((stage.telemetry.gauge_of(active).0, stage.telemetry.gauge_of(queued).0), (1, 2));
    assert_eq!(stage.engine.run(&ctx(), handles[1].id()).await.unwrap().status, RunStatus::Queued);
    for (query, handle) in ["a", "b", "c"].into_iter().zip(handles) {
        let call = strings.call().await;
        assert_eq!(question(&call.request), query);
        assert!(strings.nothing_asked());
        call.end().await;
        assert_eq!(soon(handle.wait()).await.unwrap().status, RunStatus::Completed);
    }
    assert_eq!((stage.telemetry.gauge_of(active), stage.telemetry.gauge_of(queued)), ((0, 1), (0, 2)));
}

#[tokio::test]
async fn a_queued_run_starts_only_when_the_one_before_is_durably_over() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(ENQUEUE));
    let _first = stage.start(ask_in("s", "a")).await.unwrap();
    let second = stage.start(ask_in("s", "b")).await.unwrap();
    let call = strings.call().await;
    stage.journal.shut();
    let before = stage.journal.begun();
    call.end().await;
    until(|| stage.journal.begun() > before).await;
    assert!(strings.nothing_asked());
    assert!(stage.recorded(second.id()).await.is_empty());
    stage.journal.open();
    strings.call().await.end().await;
    let run = soon(second.wait()).await.unwrap();
    let events = stage.recorded(&run.id).await;
    assert_eq!(names(&events), ["run.started", "step.completed", "run.completed"]);
}

#[tokio::test]
async fn a_queued_run_can_be_cancelled_and_the_next_moves_up() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(ENQUEUE));
    let _first = stage.start(ask_in("s", "a")).await.unwrap();
    let second = stage.start(ask_in("s", "b")).await.unwrap();
    let third = stage.start(ask_in("s", "c")).await.unwrap();
    let run = soon(stage.engine.cancel(&ctx(), second.id())).await.unwrap();
    assert_eq!(run.status, RunStatus::Cancelled);
    assert_eq!(names(&stage.recorded(&run.id).await), ["run.cancelled"]);
    assert!(stage.start(ask_in("s", "d")).await.is_ok(), "its place is free");
    strings.call().await.end().await;
    let call = strings.call().await;
    assert_eq!(question(&call.request), "c");
    call.end().await;
    soon(third.wait()).await.unwrap();
}

#[tokio::test]
async fn a_queued_run_takes_no_seat_until_its_turn() {
    let (model, mut strings) = puppet();
    let mut cast = Cast::with_policy(ENQUEUE);
    cast.agent.concurrency_max = 2;
    let stage = Stage::new(model, cast);
    let _first = stage.start(ask_in("s", "a")).await.unwrap();
    let queued = stage.start(ask_in("s", "b")).await.unwrap();
    let _other = stage.start(ask_in("t", "c")).await.unwrap();
    assert_eq!(code(stage.start(ask("d")).await.err()), "OVERLOADED");
    let (first, _other) = (strings.call().await, strings.call().await);
    first.end().await;
    let second = strings.call().await;
    assert_eq!(question(&second.request), "b");
    second.end().await;
    assert_eq!(soon(queued.wait()).await.unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn interrupt_supersedes_and_waits_until_that_is_durable() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Interrupt));
    let first = stage.start(ask_in("s", "a")).await.unwrap();
    let old = strings.call().await;
    old.say("as I was say").await;
    old.taken().await;
    until(|| stage.journal.appends() == 2).await;
    stage.journal.shut();
    stage.journal.let_through(1);
    // The one append let through is the newcomer's row; the end of the old run is held.
    let begun = stage.journal.begun();
    let engine = stage.engine.clone();
    let newcomer =
        tokio::spawn(async move { engine.start(&ctx(), &crate::stage::name("a"), ask_in("s", "b")).await });
    until(|| stage.journal.begun() >= begun + 2).await;
    old.dropped().await;
    assert!(strings.nothing_asked());
    stage.journal.open();
    let new = strings.call().await;
    assert_eq!(question(&new.request), "b");
    let old = soon(first.wait()).await.unwrap();
    let error = old.error.unwrap();
    assert_eq!((old.status, error.code.as_str()), (RunStatus::Cancelled, "RUN_CANCELLED"));
    assert!(error.message.contains("superseded"));
    new.end().await;
    let newcomer = soon(newcomer).await.unwrap().unwrap();
    assert_eq!(soon(newcomer.wait()).await.unwrap().status, RunStatus::Completed);
}

/// A model that fails the test when two of its calls for one session are open at once. The session is the first word
/// of the question.
#[derive(Default)]
struct Exclusive {
    open: Arc<Mutex<HashMap<String, usize>>>,
    clashes: Arc<AtomicUsize>,
    calls: AtomicUsize,
}

struct Open(Arc<Mutex<HashMap<String, usize>>>, String);

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.lock().get_mut(&self.1).unwrap() -= 1;
    }
}

#[async_trait]
impl ModelClient for Exclusive {
    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let question = question(&request);
        let session = question.split(' ').next().unwrap().to_owned();
        {
            let mut open = self.open.lock();
            let count = open.entry(session.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.clashes.fetch_add(1, Ordering::SeqCst);
            }
        }
        let guard = Open(self.open.clone(), session);
        let events = says(&question)?;
        Ok(Box::pin(async_stream::stream! {
            let _guard = guard;
            for event in events {
                tokio::task::yield_now().await;
                if let Ok(ModelEvent::Text(_)) = &event {
                    tokio::task::yield_now().await;
                }
                yield event;
            }
        }))
    }
}

/// Starts 200 runs of one session, and some of others, at once, and returns what became of the former.
async fn storm(policy: SessionPolicy) -> (Arc<Stage>, Vec<Result<Run, &'static str>>) {
    let model = Arc::new(Exclusive::default());
    let stage = Arc::new(Stage::new(model.clone(), Cast::with_policy(policy)));
    let invoke = |session: &'static str, n: usize| {
        let stage = stage.clone();
        tokio::spawn(async move {
            let query = format!("{session} {n}");
            let handle = stage.start(ask_in(session, &query)).await.map_err(|error| error.code().id)?;
            Ok(soon(handle.wait()).await.unwrap())
        })
    };
    let busy: Vec<_> = (0..200).map(|n| invoke("busy", n)).collect();
    let others: Vec<_> = ["x", "y", "z"].into_iter().map(|session| invoke(session, 0)).collect();
    let outcomes =
        futures_util::future::join_all(busy).await.into_iter().map(|joined| joined.unwrap()).collect();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status, RunStatus::Completed);
    }
    assert_eq!(model.clashes.load(Ordering::SeqCst), 0, "two runs of a session were at work at once");
    assert!(model.calls.load(Ordering::SeqCst) > 3);
    assert_eq!(stage.engine.active(), 0);
    (stage, outcomes)
}

async fn of_session(stage: &Stage, session: &str) -> Vec<Run> {
    let filter = RunFilter { session: Some(ses(session)), limit: 1_000, ..RunFilter::default() };
    stage.engine.runs(&ctx(), &filter).await.unwrap().runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_under_reject_are_answered_or_refused() {
    let (stage, outcomes) = storm(SessionPolicy::Reject).await;
    let answered = outcomes.iter().filter(|run| run.as_ref().is_ok_and(|r| r.status == RunStatus::Completed));
    let refused = outcomes.iter().filter(|run| matches!(run, Err("SESSION_BUSY"))).count();
    let answered = answered.count();
    assert!(answered >= 1);
    assert_eq!((answered + refused, of_session(&stage, "busy").await.len()), (200, answered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_under_enqueue_are_all_answered_in_the_order_recorded() {
    let (stage, outcomes) = storm(SessionPolicy::Enqueue { waiting_max: 500 }).await;
    assert!(outcomes.iter().all(|run| run.as_ref().is_ok_and(|r| r.status == RunStatus::Completed)));
    let recorded: Vec<_> = of_session(&stage, "busy").await.into_iter().map(|run| run.id).collect();
    let mut by_id = recorded.clone();
    by_id.sort();
    assert!(recorded == by_id, "recorded in the order of the line");
    let kept = stage.journal.kept.lock();
    let answered: Vec<_> = kept
        .iter()
        .flatten()
        .filter_map(|record| match record {
            mainstay_core::journal::RunRecord::Event { run, event } => Some((run, event)),
            _ => None,
        })
        .filter(|(run, event)| recorded.contains(run) && matches!(event.kind, RunEventKind::Completed { .. }))
        .map(|(run, _)| run.clone())
        .collect();
    assert!(answered == recorded, "answered in the order of the line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_under_interrupt_end_and_the_newest_is_answered() {
    let (stage, outcomes) = storm(SessionPolicy::Interrupt).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let recorded = of_session(&stage, "busy").await;
    assert_eq!(recorded.len(), 200);
    assert_eq!(recorded.last().unwrap().status, RunStatus::Completed);
    let superseded = recorded.iter().filter(|run| run.status == RunStatus::Cancelled).count();
    let answered = recorded.iter().filter(|run| run.status == RunStatus::Completed).count();
    assert_eq!(superseded + answered, 200);
}

#[tokio::test]
async fn deleting_a_session_ends_its_runs_refuses_newcomers_and_forgets_all() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(ENQUEUE));
    let first = stage.start(ask_in("s", "a")).await.unwrap();
    let second = stage.start(ask_in("s", "b")).await.unwrap();
    let call = strings.call().await;
    stage.journal.shut();
    let engine = stage.engine.clone();
    let deleting = tokio::spawn(async move { engine.delete_session(&ctx(), &ses("s")).await });
    call.dropped().await;
    assert_eq!(code(stage.start(ask_in("s", "c")).await.err()), "SESSION_BUSY");
    let again = stage.engine.delete_session(&ctx(), &ses("s")).await;
    assert_eq!(code(again.err()), "SESSION_BUSY");
    assert!(!deleting.is_finished());
    stage.journal.open();
    soon(deleting).await.unwrap().unwrap();
    for handle in [first, second] {
        let id = handle.id().clone();
        assert_eq!(soon(handle.wait()).await.unwrap().status, RunStatus::Cancelled);
        assert_eq!(code(stage.engine.run(&ctx(), &id).await.err()), "RUN_NOT_FOUND");
    }
    assert_eq!(code(stage.engine.session(&ctx(), &ses("s")).await.err()), "SESSION_NOT_FOUND");
    let again = stage.start(ask_in("s", "d")).await.unwrap();
    strings.call().await.end().await;
    soon(again.wait()).await.unwrap();
    assert_eq!(stage.engine.session(&ctx(), &ses("s")).await.unwrap().runs, 1);
}

#[tokio::test]
async fn sessions_are_listed_last_used_first() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    for session in ["x", "y", "z"] {
        stage.invoke(ask_in(session, "a")).await;
        stage.clock.advance(1);
    }
    stage.invoke(Start { ..ask_in("x", "b") }).await;
    let ids = async |after: Option<&str>, limit| {
        let page = stage.engine.sessions(&ctx(), after.map(ses).as_ref(), limit).await.unwrap();
        page.into_iter().map(|session| session.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10).await, ["x", "z", "y"]);
    assert_eq!(ids(None, 2).await, ["x", "z"]);
    assert_eq!(ids(Some("z"), 2).await, ["y"]);
}
