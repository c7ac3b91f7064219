//! Going down and coming back: drain, readiness, and what a new process finds after a crash.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_agents::Start;
use mainstay_core::Ctx;
use mainstay_core::app::{AppEvent, AppOutput};
use mainstay_core::journal::{RunFilter, RunRecord};
use mainstay_core::plan::SessionPolicy;
use mainstay_core::run::RunStatus;
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::stage::app::app;
use crate::stage::journal::Watched;
use crate::stage::model::{Ruled, USAGE, call, calls, puppet};
use crate::stage::tool::look;
use crate::stage::{Cast, Stage, all, ask, ask_in, ctx, names, ses, soon, until};

#[tokio::test]
async fn drain_refuses_new_runs_and_lets_those_at_work_finish() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Enqueue { waiting_max: 1 }));
    let first = stage.start(ask_in("s", "a")).await.unwrap();
    let queued = stage.start(ask_in("s", "b")).await.unwrap();
    let engine = stage.engine.clone();
    let drain = tokio::spawn(async move { engine.drain(Duration::from_secs(60)).await });
    until(|| stage.engine.is_draining()).await;
    assert_eq!(stage.start(ask("c")).await.err().unwrap().code().id, "DRAINING");
    strings.call().await.end().await;
    strings.call().await.end().await;
    assert_eq!(soon(drain).await.unwrap(), 0);
    for handle in [first, queued] {
        assert_eq!(soon(handle.wait()).await.unwrap().status, RunStatus::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn drain_cuts_what_does_not_finish_in_time_and_records_it() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Enqueue { waiting_max: 1 }));
    let first = stage.start(ask_in("s", "a")).await.unwrap();
    let queued = stage.start(ask_in("s", "b")).await.unwrap();
    let call = strings.call().await;
    let began = Instant::now();
    assert_eq!(stage.engine.drain(Duration::from_secs(30)).await, 2);
    assert_eq!(began.elapsed().as_secs(), 30);
    call.dropped().await;
    for handle in [first, queued] {
        let run = handle.wait().await.unwrap();
        assert_eq!(run.status, RunStatus::Interrupted);
        assert_eq!(run.error.as_ref().unwrap().code, "RUN_INTERRUPTED");
        assert_eq!(stage.engine.run(&ctx(), &run.id).await.unwrap(), run);
        let events = stage.recorded(&run.id).await;
        assert_eq!(names(&events).last(), Some(&"run.interrupted"));
    }
}

#[tokio::test(start_paused = true)]
async fn drain_ends_even_when_the_journal_hangs() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let _handle = stage.start(ask("a")).await.unwrap();
    let _call = strings.call().await;
    stage.journal.shut();
    assert_eq!(stage.engine.drain(Duration::from_secs(1)).await, 1);
    assert_eq!(stage.engine.active(), 1);
}

#[tokio::test]
async fn readiness_names_the_journal_and_every_app() {
    let done = AppEvent::Done(AppOutput::default());
    let stage = Stage::new(Ruled::echo(), Cast::with_app(app(Ok(vec![Ok(done)]))));
    let report = async || {
        let ready = stage.engine.ready(&ctx()).await;
        ready.into_iter().map(|(part, state)| (part, state.is_ok())).collect::<Vec<_>>()
    };
    assert_eq!(report().await, [("journal".to_owned(), true), ("app a".to_owned(), true)]);
    stage.invoke(ask("hi")).await;
    stage.journal.breaks_after.store(0, Ordering::SeqCst);
    assert_eq!(report().await, [("journal".to_owned(), false), ("app a".to_owned(), false)]);
}

/// Lets a first process work until `crashed`, then ends it as a crash does: everything in memory is gone.
fn crash(journal: &Arc<Watched>, life: impl AsyncFnOnce(Stage)) {
    let process = Builder::new_current_thread().enable_all().build().unwrap();
    process.block_on(async {
        let tool = look(|_| std::future::pending());
        let model = Ruled::new(|_, _| calls([call(0, "c", "look", r#"{"at":1}"#)]));
        life(Stage::on(journal.clone(), model, Cast::with_tool(tool))).await;
    });
}

#[test]
fn runs_cut_by_a_crash_are_interrupted_and_their_events_go_on_where_they_stopped() {
    let journal = Arc::new(Watched::default());
    let mut cut = None;
    crash(&journal, async |stage| {
        stage.engine.start(&ctx(), &crate::stage::name("a"), ask_in("s", "hi")).await.map(drop).unwrap();
        until(|| stage.journal.appends() == 2).await;
        let runs =
            stage.engine.runs(&ctx(), &RunFilter { limit: 9, ..RunFilter::default() }).await.unwrap().runs;
        cut = Some((runs[0].id.clone(), stage.recorded(&runs[0].id).await));
    });
    let (id, before) = cut.unwrap();
    assert_eq!(names(&before), ["run.started", "step.completed", "tool.call"]);
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let stage = Stage::on(journal.reopened(), Ruled::echo(), Cast::plain());
        assert_eq!(stage.engine.recover(&Ctx::system()).await.unwrap(), 1);
        let run = stage.engine.wait(&ctx(), &id).await.unwrap();
        assert_eq!((run.status, run.usage, run.steps), (RunStatus::Interrupted, USAGE, 1));
        let after = 2;
        let rest = all(stage.engine.follow(&ctx(), &id, after).await.unwrap()).await;
        assert_eq!(rest.first().map(|event| event.seq), Some(after + 1));
        assert_eq!(names(&rest).last(), Some(&"run.interrupted"));
        assert_eq!(stage.recorded(&id).await[..before.len()], before);
        assert_eq!(stage.engine.recover(&Ctx::system()).await.unwrap(), 0, "recovery is idempotent");
        let next = stage.invoke(ask_in("s", "again")).await;
        assert_eq!(next.status, RunStatus::Completed, "the session is free");
    });
}

#[test]
fn hundreds_of_unfinished_runs_are_recovered_in_batches_and_finished_ones_left_alone() {
    const CUT: usize = 150;
    let journal = Arc::new(Watched::default());
    crash(&journal, async |stage| {
        for n in 0..CUT {
            let start = Start { background: true, ..ask(&n.to_string()) };
            stage.start(start).await.map(drop).unwrap();
        }
        let first = stage.start(ask("finished")).await.unwrap();
        soon(stage.engine.cancel(&ctx(), first.id())).await.unwrap();
    });
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let stage = Stage::on(journal.reopened(), Ruled::echo(), Cast::plain());
        assert_eq!(stage.engine.recover(&Ctx::system()).await.unwrap(), CUT as u64);
        assert_eq!(stage.journal.appends(), CUT.div_ceil(64));
        let interrupted =
            RunFilter { status: Some(RunStatus::Interrupted), limit: 1_000, ..RunFilter::default() };
        assert_eq!(stage.engine.runs(&ctx(), &interrupted).await.unwrap().runs.len(), CUT);
    });
}

#[test]
fn what_cannot_be_read_of_a_run_does_not_keep_it_from_being_ended() {
    let journal = Arc::new(Watched::default());
    let mut cut = None;
    crash(&journal, async |stage| {
        for query in ["whole", "torn"] {
            let handle = stage.start(Start { background: true, ..ask_in(query, query) }).await.unwrap();
            cut = Some(handle.id().clone());
            until(|| stage.journal.kept.lock().iter().flatten().filter(|record| is_call(record)).count() > 0)
                .await;
            stage.journal.kept.lock().clear();
        }
    });
    let id = cut.unwrap();
    journal.inner.damage_run(&id);
    journal.inner.damage_event(&id, 2);
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let stage = Stage::on(journal.reopened(), Ruled::echo(), Cast::plain());
        assert_eq!(stage.engine.recover(&Ctx::system()).await.unwrap(), 2);
        let run = stage.engine.run(&ctx(), &id).await.unwrap();
        assert_eq!(
            (run.status, run.error.unwrap().code.as_str()),
            (RunStatus::Interrupted, "RUN_INTERRUPTED")
        );
        assert_eq!((run.session, run.input.query.as_str(), run.steps), (Some(ses("torn")), "", 0));
        let rest = stage.engine.events(&ctx(), &id, 2, 9).await.unwrap().events;
        assert_eq!(names(&rest), ["tool.call", "run.interrupted"], "its end follows its last event");
        let interrupted =
            RunFilter { status: Some(RunStatus::Interrupted), limit: 9, ..RunFilter::default() };
        assert_eq!(stage.engine.runs(&ctx(), &interrupted).await.unwrap().runs.len(), 2);
    });
}

fn is_call(record: &RunRecord) -> bool {
    matches!(record, RunRecord::Event { event, .. } if event.kind.name() == "tool.call")
}

#[tokio::test]
async fn recovery_leaves_runs_of_this_process_alone() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("a")).await.unwrap();
    assert_eq!(stage.engine.recover(&Ctx::system()).await.unwrap(), 0);
    strings.call().await.end().await;
    assert_eq!(soon(handle.wait()).await.unwrap().status, RunStatus::Completed);
}
