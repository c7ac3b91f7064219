//! App agents: the app's answer on our record.

use mainstay_core::app::{AppEvent, AppOutput};
use mainstay_core::plan::Fallback;
use mainstay_core::run::{DEPTH_MAX, Run, RunEvent, RunStatus};
use mainstay_core::{Error, Result, codes};
use serde_json::json;

use crate::stage::app::app;
use crate::stage::model::{Ruled, USAGE};
use crate::stage::{Cast, Stage, ask, ask_in, names, ses, spelled};

async fn played(events: Result<Vec<Result<AppEvent>>>) -> (Run, Vec<RunEvent>) {
    let stage = Stage::new(Ruled::echo(), Cast::with_app(app(events)));
    let run = stage.invoke(ask("hi")).await;
    let events = stage.recorded(&run.id).await;
    (run, events)
}

fn text(piece: &str) -> Result<AppEvent> {
    Ok(AppEvent::Text(piece.into()))
}

/// An event of the app's own that nests so many arrays.
fn nested(depth: usize) -> AppEvent {
    let data = (0..depth).fold(json!(1), |inner, _| json!([inner]));
    AppEvent::Custom { name: "nested".into(), data }
}

#[tokio::test]
async fn an_apps_event_may_nest_up_to_the_bound() {
    let (run, events) =
        played(Ok(vec![Ok(nested(DEPTH_MAX)), Ok(AppEvent::Done(AppOutput::default()))])).await;
    assert_eq!((run.status, names(&events)[1]), (RunStatus::Completed, "nested"));
}

#[tokio::test]
async fn an_answer_in_pieces_is_put_together() {
    let custom = AppEvent::Custom { name: "progress".into(), data: json!({ "percent": 50 }) };
    let done = AppOutput {
        model: Some("own".into()),
        finish_reason: Some("enough".into()),
        usage: Some(USAGE),
        ..AppOutput::default()
    };
    let (run, events) =
        played(Ok(vec![text("half "), Ok(custom), text("done"), Ok(AppEvent::Done(done))])).await;
    assert_eq!((run.status, run.answer.as_deref()), (RunStatus::Completed, Some("half done")));
    assert_eq!((run.model.as_deref(), run.finish_reason.as_deref()), (Some("own"), Some("enough")));
    assert_eq!((run.usage, run.steps, run.messages.len()), (USAGE, 0, 1));
    let expect = ["run.started", "message.delta", "progress", "message.delta", "run.completed"];
    assert_eq!(names(&events), expect);
}

#[tokio::test]
async fn a_whole_answer_is_shown_as_one_piece() {
    let done = AppOutput { answer: "all at once".into(), ..AppOutput::default() };
    let (run, events) = played(Ok(vec![Ok(AppEvent::Done(done))])).await;
    assert_eq!((spelled(&events), run.finish_reason.as_deref()), ("all at once".into(), Some("stop")));
}

#[tokio::test]
async fn an_app_cannot_fake_our_events() {
    let fake = AppEvent::Custom { name: "run.completed".into(), data: json!({}) };
    let (_, events) = played(Ok(vec![Ok(fake), Ok(AppEvent::Done(AppOutput::default()))])).await;
    assert_eq!(names(&events), ["run.started", "app.run.completed", "run.completed"]);
}

#[tokio::test]
async fn what_goes_wrong_in_the_app_is_the_runs_error() {
    for (events, code) in [
        (Err(Error::new(&codes::APP_REJECTED, "no")), "APP_REJECTED"),
        (Ok(vec![text("half"), Err(Error::new(&codes::APP_FAILED, "boom"))]), "APP_FAILED"),
        (Ok(vec![text("half")]), "APP_FAILED"),
        (Ok(vec![Ok(nested(DEPTH_MAX + 1))]), "APP_FAILED"),
    ] {
        let (run, _) = played(events).await;
        assert_eq!((run.status, run.error.unwrap().code.as_str()), (RunStatus::Failed, code));
    }
}

#[tokio::test]
async fn an_app_that_cannot_be_reached_can_have_a_fallback() {
    let mut cast = Cast::with_app(app(Err(Error::new(&codes::APP_UNAVAILABLE, "no"))));
    let (answer, finish_reason) = ("later".to_owned(), "fallback".to_owned());
    cast.agent.fallbacks =
        vec![Fallback { on: vec!["APP_UNAVAILABLE".into()], answer, model: "none".into(), finish_reason }];
    let run = Stage::new(Ruled::echo(), cast).invoke(ask("hi")).await;
    assert_eq!((run.status, run.answer.as_deref()), (RunStatus::Completed, Some("later")));
}

#[tokio::test]
async fn the_app_is_told_the_run_the_session_and_a_key() {
    let played = app(Ok(vec![Ok(AppEvent::Done(AppOutput::default()))]));
    let stage = Stage::new(Ruled::echo(), Cast::with_app(played.clone()));
    let run = stage.invoke(ask_in("s", "hi")).await;
    let asked = played.asked.lock();
    assert_eq!((&asked[0].run, &asked[0].session), (&run.id, &Some(ses("s"))));
    assert_eq!(asked[0].idempotency_key, run.id.as_str());
    assert!(asked[0].stream && asked[0].input.query == "hi");
}
