//! The bound on runs of an agent at once.

use mainstay_core::run::RunStatus;

use crate::stage::model::{Ruled, puppet};
use crate::stage::{Cast, Stage, ask, soon};

fn bounded(max: u32) -> Cast {
    let mut cast = Cast::plain();
    cast.agent.concurrency_max = max;
    cast
}

#[tokio::test]
async fn runs_beyond_the_bound_are_refused_and_leave_no_trace() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, bounded(2));
    let first = stage.start(ask("a")).await.unwrap();
    let _second = stage.start(ask("b")).await.unwrap();
    let appends = stage.journal.appends();
    let error = stage.start(ask("c")).await.err().unwrap();
    assert_eq!((error.code().id, stage.journal.appends()), ("OVERLOADED", appends));
    strings.call().await.end().await;
    assert_eq!(soon(first.wait()).await.unwrap().status, RunStatus::Completed);
    assert!(stage.start(ask("d")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_the_end_of_a_run_finds_its_seat_free() {
    let stage = Stage::new(Ruled::echo(), bounded(1));
    for _ in 0..500 {
        let run = stage.invoke(ask("a")).await;
        assert_eq!((run.status, stage.engine.active()), (RunStatus::Completed, 0));
    }
}

#[tokio::test]
async fn a_reload_keeps_counting_runs_of_the_old_table() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, bounded(1));
    let first = stage.start(ask("a")).await.unwrap();
    let call = strings.call().await;
    stage.engine.reload(bounded(1).table());
    assert_eq!(stage.start(ask("b")).await.err().unwrap().code().id, "OVERLOADED");
    stage.engine.reload(bounded(2).table());
    let second = stage.start(ask("c")).await.unwrap();
    call.end().await;
    strings.call().await.end().await;
    soon(first.wait()).await.unwrap();
    soon(second.wait()).await.unwrap();
}

#[tokio::test]
async fn runs_at_work_keep_the_agent_they_started_with() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("a")).await.unwrap();
    let call = strings.call().await;
    stage.engine.reload(mainstay_agents::Table::default());
    assert_eq!(stage.start(ask("b")).await.err().unwrap().code().id, "AGENT_NOT_FOUND");
    assert!(stage.engine.table().agents.is_empty());
    call.say("still here").await;
    call.end().await;
    assert_eq!(soon(handle.wait()).await.unwrap().answer.as_deref(), Some("still here"));
}
