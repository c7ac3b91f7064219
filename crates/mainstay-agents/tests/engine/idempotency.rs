//! A repeated start under one key is one run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_agents::Start;
use mainstay_core::plan::{OnDisconnect, SessionPolicy};
use mainstay_core::run::{RunInput, RunStatus};
use serde_json::json;

use crate::stage::model::{Ruled, puppet};
use crate::stage::{Cast, Stage, ask, ask_in, caller, ctx, name, ses, soon};

fn keyed(key: &str, query: &str) -> Start {
    Start { idempotency_key: Some(key.into()), ..ask(query) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_starts_at_once_under_one_key_are_one_run() {
    let model = Ruled::echo();
    let stage = Arc::new(Stage::new(model.clone(), Cast::plain()));
    let starts = (0..100).map(|_| {
        let stage = stage.clone();
        tokio::spawn(async move {
            let handle = stage.start(keyed("k", "hi")).await.unwrap();
            let replayed = handle.is_replayed();
            (soon(handle.wait()).await.unwrap(), replayed)
        })
    });
    let runs: Vec<_> =
        futures_util::future::join_all(starts).await.into_iter().map(|joined| joined.unwrap()).collect();
    assert!(runs.iter().all(|(run, _)| *run == runs[0].0));
    assert_eq!(runs.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn a_key_is_of_one_agent_and_one_principal_and_one_question() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let first = stage.invoke(keyed("k", "hi")).await.id;
    assert_eq!(stage.invoke(keyed("k", "hi")).await.id, first);
    assert_ne!(stage.invoke(keyed("l", "hi")).await.id, first);
    let other = stage.engine.start(&caller("other"), &name("a"), keyed("k", "hi")).await.unwrap();
    assert_ne!(*other.id(), first);
    let error = stage.start(keyed("k", "ho")).await.err().unwrap();
    assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("idempotency_key")));
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_whether_its_run_is_at_work_or_ended() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let input = RunInput {
        query: "hi".into(),
        context: json!({ "a": 0.1 }),
        max_tokens: Some(5),
        temperature: Some(0.1),
        metadata: json!({ "attempt": 1 }),
    };
    let first = Start { input, ..Start { idempotency_key: Some("k".into()), ..ask_in("s", "") } };
    let with = |change: fn(&mut Start)| {
        let mut other = first.clone();
        change(&mut other);
        other
    };
    let others = [
        ("query", with(|start| start.input.query = "ho".into())),
        ("context", with(|start| start.input.context = json!(1))),
        ("session_id", with(|start| start.session = Some(ses("t")))),
        ("session_id", with(|start| start.session = None)),
        ("max_tokens", with(|start| start.input.max_tokens = Some(6))),
        ("temperature", with(|start| start.input.temperature = None)),
        ("background", with(|start| start.background = true)),
    ];
    // Labels may count attempts, and whether the answer is read as it comes is the attempt's own.
    let attempt = with(|start| (start.input.metadata, start.stream) = (json!({ "attempt": 2 }), false));
    let handle = stage.start(first.clone()).await.unwrap();
    let call = strings.call().await;
    let check = async || {
        for (field, other) in &others {
            let error = stage.start(other.clone()).await.err().unwrap();
            assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("idempotency_key")));
            assert!(error.message().contains(field), "{field}: {error}");
        }
        assert_eq!(stage.start(attempt.clone()).await.unwrap().id(), handle.id());
    };
    check().await;
    call.end().await;
    soon(stage.engine.wait(&ctx(), handle.id())).await.unwrap();
    check().await;
}

#[tokio::test]
async fn a_repeat_of_a_session_message_is_not_a_second_message() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Reject));
    let message = Start { idempotency_key: Some("k".into()), ..ask_in("s", "hi") };
    let first = stage.start(message.clone()).await.unwrap();
    let again = stage.start(message).await.unwrap();
    assert_eq!((first.id(), again.session()), (again.id(), Some(&ses("s"))));
    strings.call().await.end().await;
    assert_eq!(soon(again.wait()).await.unwrap(), soon(first.wait()).await.unwrap());
}

#[tokio::test]
async fn a_refused_start_leaves_its_key_free() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    stage.journal.full_for.store(1, Ordering::SeqCst);
    assert_eq!(stage.start(keyed("k", "hi")).await.err().unwrap().code().id, "OVERLOADED");
    assert_eq!(stage.invoke(keyed("k", "other words")).await.status, RunStatus::Completed);
}

#[tokio::test]
async fn a_key_of_a_deleted_run_is_free_again() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let message = Start { idempotency_key: Some("k".into()), ..ask_in("s", "hi") };
    let first = stage.invoke(message.clone()).await.id;
    stage.engine.delete_session(&ctx(), &ses("s")).await.unwrap();
    assert_ne!(stage.invoke(message).await.id, first);
}

#[tokio::test]
async fn the_run_goes_with_the_last_of_its_callers() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let start = || Start { on_disconnect: Some(OnDisconnect::Cancel), ..keyed("k", "hi") };
    let first = stage.start(start()).await.unwrap();
    let second = stage.start(start()).await.unwrap();
    let call = strings.call().await;
    drop(first);
    call.say("still here").await;
    drop(second);
    call.dropped().await;
}
