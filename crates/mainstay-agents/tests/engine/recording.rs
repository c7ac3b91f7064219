//! What is recorded, when it is shown, and what happens when the journal is slow, full or broken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_core::journal::RunRecord;
use mainstay_core::run::{RunEvent, RunEventKind, RunStatus};

use crate::stage::journal::{LARGE_BYTES, Watched};
use crate::stage::model::{Ruled, USAGE, opening, puppet, says};
use crate::stage::{Cast, Stage, all, ask, ask_in, collect, ctx, names, seqs, soon, spelled, until};

#[tokio::test]
async fn a_run_is_on_record_before_start_returns() {
    let (model, _strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    stage.journal.shut();
    let engine = stage.engine.clone();
    let starting = tokio::spawn(async move {
        engine.start(&ctx(), &engine.resolve(None).unwrap(), ask("hi")).await.map(|run| run.id().clone())
    });
    until(|| stage.journal.begun() == 1).await;
    assert!(!starting.is_finished());
    stage.journal.let_through(1);
    let id = soon(starting).await.unwrap().unwrap();
    assert_eq!(stage.engine.run(&ctx(), &id).await.unwrap().status, RunStatus::Running);
    assert_eq!(names(&stage.recorded(&id).await), ["run.started"]);
}

#[tokio::test]
async fn an_answer_is_recorded_whole_with_its_steps_and_usage() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let run = stage.invoke(ask("hi")).await;
    assert_eq!((run.status, run.answer.as_deref()), (RunStatus::Completed, Some("re: hi")));
    assert_eq!((run.model.as_deref(), run.finish_reason.as_deref()), (Some("m-1"), Some("stop")));
    assert_eq!((run.usage, run.steps, run.messages.len()), (USAGE, 1, 1));
    assert_eq!(stage.engine.run(&ctx(), &run.id).await.unwrap(), run);
    let events = stage.recorded(&run.id).await;
    assert_eq!(names(&events), ["run.started", "message.delta", "step.completed", "run.completed"]);
    assert_eq!(seqs(&events), [1, 2, 3, 4]);
}

#[tokio::test]
async fn the_final_event_and_the_final_row_are_one_append() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    stage.invoke(ask("hi")).await;
    let last = stage.journal.kept.lock().pop().unwrap();
    let event = last.iter().any(|r| matches!(r, RunRecord::Event { event, .. } if event.kind.is_final()));
    let row = last.iter().any(|r| matches!(r, RunRecord::Run(run) if run.status.is_final()));
    assert!(event && row, "{last:?}");
}

#[tokio::test]
async fn pieces_that_come_during_an_append_become_one_event() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let call = strings.call().await;
    call.send(opening()).await;
    stage.journal.shut();
    let before = stage.journal.begun();
    call.say("one").await;
    until(|| stage.journal.begun() > before).await;
    for piece in [" two", " three", " four"] {
        call.say(piece).await;
    }
    call.taken().await;
    assert_eq!(stage.journal.begun(), before + 1, "one append at a time");
    stage.journal.open();
    call.end().await;
    let events = all(handle.events()).await;
    let deltas: Vec<_> = events
        .iter()
        .filter_map(|e| match &e.kind {
            RunEventKind::Text { delta } => Some(delta.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deltas, ["one", " two three four"]);
}

#[tokio::test]
async fn a_model_faster_than_the_journal_is_held_back() {
    const PIECE: usize = 8 * 1024;
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let call = strings.call().await;
    stage.journal.shut();
    let flood = tokio::spawn(async move {
        for _ in 0..100 {
            call.say(&"x".repeat(PIECE)).await;
        }
        call.end().await;
    });
    // Every task that can run has run when this test's turn comes again and nothing has changed.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!flood.is_finished(), "800 KiB went into a run whose journal takes nothing");
    stage.journal.open();
    soon(flood).await.unwrap();
    assert_eq!(spelled(&all(handle.events()).await).len(), 100 * PIECE);
    let largest = stage.journal.kept.lock().iter().flatten().map(text_bytes).max().unwrap();
    assert!(largest <= 64 * 1024 + PIECE, "{largest}");
}

fn text_bytes(record: &RunRecord) -> usize {
    match record {
        RunRecord::Event { event: RunEvent { kind: RunEventKind::Text { delta }, .. }, .. } => delta.len(),
        _ => 0,
    }
}

#[tokio::test]
async fn nothing_is_shown_before_it_is_durable() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let mut events = stage.engine.follow(&ctx(), handle.id(), 1).await.unwrap();
    let call = strings.call().await;
    stage.journal.shut();
    let before = stage.journal.begun();
    call.say("secret").await;
    until(|| stage.journal.begun() > before).await;
    let mut next = futures_util::StreamExt::next(&mut events);
    assert!(futures_util::poll!(&mut next).is_pending());
    stage.journal.open();
    assert_eq!(soon(next).await.unwrap().unwrap().seq, 2);
}

#[tokio::test]
async fn a_broken_journal_ends_the_run_and_shows_only_what_it_kept() {
    for breaks_after in 1..5 {
        let (model, mut strings) = puppet();
        let stage = Stage::new(model, Cast::plain());
        stage.journal.breaks_after.store(breaks_after, Ordering::SeqCst);
        let handle = stage.start(ask("hi")).await.unwrap();
        let id = handle.id().clone();
        let call = strings.call().await;
        let shown = tokio::spawn(collect(handle.events()));
        for n in 0..breaks_after {
            let before = stage.journal.begun();
            call.say(&format!("{n} ")).await;
            until(|| stage.journal.begun() > before).await;
        }
        call.dropped().await;
        let mut shown = soon(shown).await.unwrap();
        let error = shown.pop().unwrap().unwrap_err();
        assert_eq!(error.code().id, "JOURNAL_UNAVAILABLE");
        let shown: Vec<_> = shown.into_iter().map(Result::unwrap).collect();
        assert_eq!(shown, stage.recorded(&id).await);
        assert_eq!(shown.len(), breaks_after, "one event an append");
        assert_eq!(stage.engine.active(), 0);
        assert_eq!(stage.engine.wait(&ctx(), &id).await.unwrap_err().code().id, "RUN_INTERRUPTED");
        assert_eq!(stage.telemetry.runs(), ["a interrupted 0"]);
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_recorded_is_not_started() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::plain());
    stage.journal.breaks_after.store(0, Ordering::SeqCst);
    assert_eq!(stage.start(ask("hi")).await.err().unwrap().code().id, "JOURNAL_UNAVAILABLE");
    assert_eq!((model.calls(), stage.engine.active()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_refuses_new_runs_but_holds_back_those_at_work() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    stage.journal.full_for.store(1, Ordering::SeqCst);
    assert_eq!(stage.start(ask("ho")).await.err().unwrap().code().id, "OVERLOADED");
    stage.journal.full_for.store(20, Ordering::SeqCst);
    let call = strings.call().await;
    call.say("patience").await;
    call.end().await;
    let events = all(handle.events()).await;
    assert_eq!(stage.journal.full_for.load(Ordering::SeqCst), 0);
    assert_eq!(spelled(&events), "patience");
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
}

/// A model whose answer is a large value.
fn eloquent() -> Arc<Ruled> {
    Ruled::new(|_, _| says(&"x".repeat(LARGE_BYTES)))
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_outlasts_a_moment_without_room() {
    let stage = Stage::new(eloquent(), Cast::plain());
    stage.journal.no_room_for.store(3, Ordering::SeqCst);
    let run = stage.invoke(ask("hi")).await;
    assert_eq!(
        (run.status, run.answer.map(|answer| answer.len())),
        (RunStatus::Completed, Some(LARGE_BYTES))
    );
    assert_eq!(stage.journal.no_room_for.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_answer_finds_no_room_ends_on_record_and_its_session_goes_on() {
    let stage = Stage::new(eloquent(), Cast::plain());
    stage.journal.no_room_for.store(usize::MAX, Ordering::SeqCst);
    let handle = stage.start(ask_in("s", "hi")).await.unwrap();
    let id = handle.id().clone();
    let shown = all(handle.events()).await;
    assert_eq!(names(&shown), ["run.started", "run.interrupted"]);
    assert_eq!(shown, stage.recorded(&id).await);
    let run = stage.engine.run(&ctx(), &id).await.unwrap();
    assert_eq!(
        (run.status, run.error.unwrap().code.as_str()),
        (RunStatus::Interrupted, "JOURNAL_UNAVAILABLE")
    );
    assert_eq!((run.answer, run.messages.len(), run.steps, run.usage), (None, 0, 1, USAGE));
    assert_eq!(stage.telemetry.runs(), ["a interrupted 1"]);
    assert_eq!(stage.engine.active(), 0);
    stage.journal.no_room_for.store(0, Ordering::SeqCst);
    assert_eq!(stage.invoke(ask_in("s", "again")).await.status, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_asked_with_a_large_value_ends_on_record_once_there_is_room() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask(&"q".repeat(LARGE_BYTES))).await.unwrap();
    let call = strings.call().await;
    stage.journal.no_room_for.store(40, Ordering::SeqCst);
    call.end().await;
    let run = soon(handle.wait()).await.unwrap();
    assert_eq!((run.status, run.input.query.len()), (RunStatus::Interrupted, LARGE_BYTES));
    assert_eq!(stage.engine.run(&ctx(), &run.id).await.unwrap(), run);
    assert_eq!(stage.journal.no_room_for.load(Ordering::SeqCst), 0, "it was tried until there was");
}

#[tokio::test]
async fn a_thousand_runs_keep_their_own_order_and_leave_nothing_behind() {
    let stage = Arc::new(Stage::on(Arc::new(Watched::default()), Ruled::echo(), Cast::plain()));
    let runs = (0..1_000).map(|n| {
        let stage = stage.clone();
        tokio::spawn(async move { (n, stage.invoke(ask(&n.to_string())).await) })
    });
    for joined in futures_util::future::join_all(runs).await {
        let (n, run) = joined.unwrap();
        assert_eq!(run.answer.unwrap(), format!("re: {n}"));
    }
    assert_eq!(stage.engine.active(), 0);
}
