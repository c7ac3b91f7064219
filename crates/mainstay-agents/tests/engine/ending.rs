//! How runs end: answered, failed, out of time, cancelled, left, or with a fallback.

use std::sync::Arc;
use std::time::Duration;

use mainstay_agents::Start;
use mainstay_core::codes;
use mainstay_core::plan::{Fallback, OnDisconnect};
use mainstay_core::run::{RunEventKind, RunStatus};
use mainstay_core::telemetry::Gauge;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stage::model::{Ruled, call, calls, opening, puppet};
use crate::stage::tool::look;
use crate::stage::{Cast, Stage, all, ask, ctx, name, soon, until};

fn error_code(run: &mainstay_core::run::Run) -> &str {
    run.error.as_ref().map_or("none", |error| error.code.as_str())
}

#[tokio::test]
async fn cancel_drops_the_model_stream_and_returns_the_run_once_its_end_is_durable() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let call = strings.call().await;
    call.send(opening()).await;
    call.say("half an ans").await;
    call.taken().await;
    let run = soon(stage.engine.cancel(&ctx(), handle.id())).await.unwrap();
    call.dropped().await;
    assert_eq!((run.status, error_code(&run)), (RunStatus::Cancelled, "RUN_CANCELLED"));
    assert_eq!(stage.engine.run(&ctx(), handle.id()).await.unwrap(), run);
    let events = stage.recorded(handle.id()).await;
    assert!(matches!(events.last().unwrap().kind, RunEventKind::Cancelled(_)));
    assert_eq!(soon(stage.engine.cancel(&ctx(), handle.id())).await.unwrap(), run, "cancel is idempotent");
}

#[tokio::test]
async fn cancelling_a_run_that_was_answered_changes_nothing() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let run = stage.invoke(ask("hi")).await;
    assert_eq!(stage.engine.cancel(&ctx(), &run.id).await.unwrap(), run);
}

#[tokio::test]
async fn cancel_drops_the_tools_at_work() {
    let (alive, mut dropped) = oneshot::channel::<()>();
    let alive = parking_lot::Mutex::new(Some(alive));
    let tool = look(move |_| {
        let alive = alive.lock().take();
        async move {
            let _alive = alive;
            std::future::pending().await
        }
    });
    let model = Ruled::new(|_, _| calls([call(0, "c", "look", r#"{"at":1}"#)]));
    let stage = Stage::new(model, Cast::with_tool(tool.clone()));
    let handle = stage.start(ask("hi")).await.unwrap();
    until(|| !tool.called.lock().is_empty()).await;
    assert!(dropped.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    soon(stage.engine.cancel(&ctx(), handle.id())).await.unwrap();
    assert!(dropped.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
}

#[tokio::test]
async fn a_panic_ends_the_run_as_failed_and_says_nothing_of_it() {
    let model = Ruled::new(|_, _| panic!("password=hunter2"));
    let stage = Stage::new(model, Cast::plain());
    let run = stage.invoke(ask("hi")).await;
    assert_eq!((run.status, error_code(&run)), (RunStatus::Failed, "INTERNAL"));
    assert!(!run.error.unwrap().message.contains("hunter2"));
    assert_eq!(stage.engine.active(), 0);
}

#[tokio::test]
async fn an_error_of_the_model_ends_the_run_with_its_code() {
    let stage = Stage::new(Ruled::failing(&codes::PROVIDER_AUTH), Cast::plain());
    let run = stage.invoke(ask("hi")).await;
    assert_eq!((run.status, error_code(&run)), (RunStatus::Failed, "PROVIDER_AUTH"));
    assert_eq!(stage.telemetry.runs(), ["a failed 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_longer_than_its_agent_allows_fails() {
    let (model, mut strings) = puppet();
    let mut cast = Cast::plain();
    cast.agent.timeout = Duration::from_secs(90);
    let stage = Stage::new(model, cast);
    let began = Instant::now();
    let handle = stage.start(Start { background: true, ..ask("hi") }).await.unwrap();
    let call = strings.call().await;
    let run = handle.wait().await.unwrap();
    assert_eq!((run.status, error_code(&run)), (RunStatus::Failed, "DEADLINE_EXCEEDED"));
    assert_eq!(began.elapsed().as_secs(), 90);
    call.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_ends_its_run_but_not_one_in_the_background() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let agent = name("a");
    let ctx = ctx().with_deadline((Instant::now() + Duration::from_secs(5)).into_std());
    let foreground = stage.engine.start(&ctx, &agent, ask("a")).await.unwrap();
    let _first = strings.call().await;
    let background = Start { background: true, ..ask("b") };
    let background = stage.engine.start(&ctx, &agent, background).await.unwrap();
    let second = strings.call().await;
    assert_eq!(error_code(&foreground.wait().await.unwrap()), "DEADLINE_EXCEEDED");
    tokio::time::advance(Duration::from_secs(30)).await;
    second.end().await;
    assert_eq!(background.wait().await.unwrap().status, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_callers_deadline_and_leaves_the_run_alone() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("a")).await.unwrap();
    let call = strings.call().await;
    let impatient = ctx().with_deadline((Instant::now() + Duration::from_secs(1)).into_std());
    let error = stage.engine.wait(&impatient, handle.id()).await.unwrap_err();
    assert_eq!(error.code().id, "DEADLINE_EXCEEDED");
    call.end().await;
    assert_eq!(handle.wait().await.unwrap().status, RunStatus::Completed);
}

fn leaving(policy: OnDisconnect, background: bool) -> Start {
    Start { on_disconnect: Some(policy), background, ..ask("hi") }
}

#[tokio::test]
async fn a_caller_who_leaves_takes_its_run_along_only_where_the_policy_says_so() {
    for (policy, background, cut) in [
        (OnDisconnect::Cancel, false, true),
        (OnDisconnect::Cancel, true, false),
        (OnDisconnect::Continue, false, false),
    ] {
        let (model, mut strings) = puppet();
        let stage = Stage::new(model, Cast::plain());
        let handle = stage.start(leaving(policy, background)).await.unwrap();
        let (id, call) = (handle.id().clone(), strings.call().await);
        drop(handle);
        if cut {
            call.dropped().await;
        } else {
            call.end().await;
        }
        let run = soon(stage.engine.wait(&ctx(), &id)).await.unwrap();
        let expect = if cut { RunStatus::Cancelled } else { RunStatus::Completed };
        assert_eq!(run.status, expect, "{policy:?} background {background}");
    }
}

#[tokio::test]
async fn the_agents_policy_holds_where_the_caller_names_none() {
    let (model, mut strings) = puppet();
    let mut cast = Cast::plain();
    cast.agent.on_disconnect = OnDisconnect::Cancel;
    let stage = Stage::new(model, cast);
    let events = stage.start(ask("hi")).await.unwrap().events();
    let call = strings.call().await;
    drop(events);
    call.dropped().await;
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_run_is_on_record_takes_it_along() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::plain());
    stage.journal.shut();
    let (ctx_of_start, agent) = (ctx(), name("a"));
    let mut starting =
        Box::pin(stage.engine.start(&ctx_of_start, &agent, leaving(OnDisconnect::Cancel, false)));
    while stage.journal.begun() == 0 {
        assert!(futures_util::poll!(starting.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(starting);
    stage.journal.open();
    until(|| stage.engine.active() == 0).await;
    let runs = stage.engine.runs(&ctx(), &Default::default()).await.unwrap().runs;
    assert_eq!((runs[0].status, model.calls()), (RunStatus::Cancelled, 0));
}

fn with_fallback() -> Cast {
    let mut cast = Cast::plain();
    cast.agent.fallbacks = vec![
        Fallback {
            on: vec!["PROVIDER_QUOTA".into(), "DEADLINE_EXCEEDED".into()],
            answer: "come back later".into(),
            model: "none".into(),
            finish_reason: "fallback".into(),
        },
        Fallback {
            on: vec!["PROVIDER_QUOTA".into()],
            answer: "never given: the first match wins".into(),
            model: "none".into(),
            finish_reason: "fallback".into(),
        },
    ];
    cast
}

#[tokio::test]
async fn a_failure_that_the_agent_has_an_answer_for_is_answered() {
    let stage = Stage::new(Ruled::failing(&codes::PROVIDER_QUOTA), with_fallback());
    let handle = stage.start(ask("hi")).await.unwrap();
    let id = handle.id().clone();
    let events = all(handle.events()).await;
    assert_eq!(crate::stage::spelled(&events), "come back later");
    let run = stage.engine.run(&ctx(), &id).await.unwrap();
    assert_eq!((run.status, run.answer.as_deref()), (RunStatus::Completed, Some("come back later")));
    assert_eq!((run.model.as_deref(), run.finish_reason.as_deref()), (Some("none"), Some("fallback")));
}

#[tokio::test]
async fn a_failure_without_an_answer_of_its_own_stays_a_failure() {
    let stage = Stage::new(Ruled::failing(&codes::PROVIDER_TIMEOUT), with_fallback());
    assert_eq!(error_code(&stage.invoke(ask("hi")).await), "PROVIDER_TIMEOUT");
}

#[tokio::test]
async fn a_fallback_is_not_glued_to_an_answer_that_began() {
    for (began, expect) in [(true, RunStatus::Failed), (false, RunStatus::Completed)] {
        let (model, mut strings) = puppet();
        let stage = Stage::new(model, with_fallback());
        let handle = stage.start(ask("hi")).await.unwrap();
        let call = strings.call().await;
        call.send(opening()).await;
        if began {
            call.say("the answer is").await;
        }
        call.fail(&codes::PROVIDER_QUOTA).await;
        assert_eq!(soon(handle.wait()).await.unwrap().status, expect, "began: {began}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_can_have_a_fallback_too() {
    let (model, _strings) = puppet();
    let mut cast = with_fallback();
    cast.agent.timeout = Duration::from_secs(1);
    let stage = Stage::new(model, cast);
    assert_eq!(stage.invoke(ask("hi")).await.answer.as_deref(), Some("come back later"));
}

#[tokio::test]
async fn gauges_count_runs_at_work_and_return_to_zero() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let first = stage.start(ask("a")).await.unwrap();
    let second = stage.start(ask("b")).await.unwrap();
    let (one, two) = (strings.call().await, strings.call().await);
    assert_eq!(stage.telemetry.gauge_of(Gauge::RunsActive), (2, 2));
    one.end().await;
    two.end().await;
    soon(first.wait()).await.unwrap();
    soon(second.wait()).await.unwrap();
    assert_eq!(stage.telemetry.gauge_of(Gauge::RunsActive), (0, 2));
    assert_eq!(stage.telemetry.runs(), ["a completed 1", "a completed 1"]);
}

#[tokio::test]
async fn an_unknown_agent_is_refused_by_name() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let error = stage.engine.start(&ctx(), &name("b"), ask("hi")).await.err().unwrap();
    assert_eq!(error.code().id, "AGENT_NOT_FOUND");
    assert!(error.message().contains("`b`") && error.help().unwrap().contains("`a`"));
    assert_eq!(stage.engine.resolve(None).unwrap(), name("a"));
    assert!(stage.engine.resolve(Some("b")).is_err());
}

#[tokio::test]
async fn the_time_of_events_and_rows_comes_from_the_clock() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let call = strings.call().await;
    stage.clock.advance(500);
    call.end().await;
    let run = soon(handle.wait()).await.unwrap();
    assert_eq!((run.created_ms, run.updated_ms), (1_000, 1_500));
    let times: Vec<u64> = stage.recorded(&run.id).await.iter().map(|event| event.at_ms).collect();
    assert_eq!((times.first(), times.last()), (Some(&1_000), Some(&1_500)));
    drop(Arc::new(stage));
}
