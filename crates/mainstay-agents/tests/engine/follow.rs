//! Following a run: every event once, in order, whenever one comes and however slowly one reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use mainstay_core::run::RunEvent;
use mainstay_core::{Ctx, RunId};
use proptest::prelude::*;

use crate::stage::model::{Ruled, puppet};
use crate::stage::{Cast, Stage, all, ask, ask_in, collect, ctx, seqs, ses, soon, spelled, until};

/// The numbers from `after + 1` to `last`.
fn from_to(after: u64, last: u64) -> Vec<u64> {
    (after + 1..=last).collect()
}

async fn followed(stage: &Stage, ctx: &Ctx, run: &RunId, after: u64) -> Vec<RunEvent> {
    all(stage.engine.follow(ctx, run, after).await.unwrap()).await
}

#[tokio::test]
async fn a_finished_run_is_followed_from_any_event_on() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let run = stage.invoke(ask("hi")).await.id;
    let events = stage.recorded(&run).await;
    let last = events.len() as u64;
    for after in 0..=last {
        let shown = followed(&stage, &ctx(), &run, after).await;
        assert_eq!(shown, events[after as usize..]);
    }
    assert!(followed(&stage, &ctx(), &run, u64::MAX).await.is_empty());
}

#[tokio::test]
async fn an_unknown_run_cannot_be_followed() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let error = stage.engine.follow(&ctx(), &RunId::generate(), 0).await.err().unwrap();
    assert_eq!(error.code().id, "RUN_NOT_FOUND");
}

#[tokio::test]
async fn events_on_record_are_read_without_waiting_for_more() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let id = handle.id().clone();
    let call = strings.call().await;
    let before = stage.journal.appends();
    call.say("part").await;
    until(|| stage.journal.appends() > before).await;
    let read =
        async |after, limit| seqs(&stage.engine.events(&ctx(), &id, after, limit).await.unwrap().events);
    assert_eq!(read(0, 10).await, [1, 2]);
    assert_eq!((read(0, 1).await, read(1, 10).await), (vec![1], vec![2]));
    let unknown = stage.engine.events(&ctx(), &RunId::generate(), 0, 10).await.unwrap_err();
    assert_eq!(unknown.code().id, "RUN_NOT_FOUND");
    call.end().await;
    soon(handle.wait()).await.unwrap();
}

#[tokio::test]
async fn the_handle_shows_a_run_from_its_first_event_to_its_last() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let id = handle.id().clone();
    assert_eq!(all(handle.events()).await, stage.recorded(&id).await);
}

#[tokio::test]
async fn a_slow_follower_misses_nothing_and_holds_nothing_up() {
    const PIECES: usize = 1_000;
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let id = handle.id().clone();
    let mut slow = stage.engine.follow(&ctx(), &id, 0).await.unwrap();
    assert_eq!(soon(slow.next()).await.unwrap().unwrap().seq, 1);
    let call = strings.call().await;
    for n in 0..PIECES {
        let before = stage.journal.appends();
        call.say(&format!("{n};")).await;
        until(|| stage.journal.appends() > before).await;
    }
    call.end().await;
    soon(handle.wait()).await.unwrap();
    let reads = stage.journal.reads.load(Ordering::SeqCst);
    let rest = all(slow).await;
    assert_eq!(seqs(&rest), from_to(1, PIECES as u64 + 3));
    assert_eq!(spelled(&rest), (0..PIECES).map(|n| format!("{n};")).collect::<String>());
    assert!(stage.journal.reads.load(Ordering::SeqCst) > reads, "what the tail no longer has is read again");
}

#[tokio::test]
async fn a_close_follower_needs_no_read_of_the_journal() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let call = strings.call().await;
    let mut events = handle.events();
    for n in 0..300 {
        soon(events.next()).await.unwrap().unwrap();
        call.say(&format!("{n};")).await;
    }
    call.end().await;
    all(events).await;
    assert_eq!(stage.journal.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_unfinished_run_that_no_one_works_at_is_shown_and_then_said_to_be_lost() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask("hi")).await.unwrap();
    let _call = strings.call().await;
    let (model, _) = puppet();
    let next = Stage::on(stage.journal.reopened(), model, Cast::plain());
    let mut shown = collect(next.engine.follow(&ctx(), handle.id(), 0).await.unwrap()).await;
    assert_eq!(shown.pop().unwrap().unwrap_err().code().id, "RUN_INTERRUPTED");
    assert_eq!(shown.len(), 1);
    let error = next.engine.cancel(&ctx(), handle.id()).await.unwrap_err();
    assert_eq!(error.code().id, "RUN_INTERRUPTED");
}

#[tokio::test]
async fn a_reader_whose_finished_run_is_forgotten_is_told_so_and_not_that_it_has_seen_all() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.start(ask_in("s", "hi")).await.unwrap();
    let id = handle.id().clone();
    let call = strings.call().await;
    for n in 0..200 {
        let before = stage.journal.appends();
        call.say(&format!("{n};")).await;
        until(|| stage.journal.appends() > before).await;
    }
    call.end().await;
    soon(handle.wait()).await.unwrap();
    let seen_all = stage.engine.follow(&ctx(), &id, u64::MAX).await.unwrap();
    assert_eq!(collect(seen_all).await.len(), 0, "one who has seen all is told nothing");
    let mut slow = stage.engine.follow(&ctx(), &id, 0).await.unwrap();
    assert_eq!(soon(slow.next()).await.unwrap().unwrap().seq, 1);
    stage.engine.delete_session(&ctx(), &ses("s")).await.unwrap();
    let mut rest = collect(slow).await;
    assert_eq!(rest.pop().unwrap().unwrap_err().code().id, "RUN_NOT_FOUND");
    let read: Vec<RunEvent> = rest.into_iter().map(Result::unwrap).collect();
    assert!(read.len() < 200 && !read.iter().any(|event| event.kind.is_final()), "{}", read.len());
}

/// Runs one run of `pieces` pieces with followers that come after so many of them and start after such a number.
async fn check_followers(pieces: usize, followers: Vec<(usize, u64)>) {
    let (model, mut strings) = puppet();
    let stage = Arc::new(Stage::new(model, Cast::plain()));
    let handle = stage.start(ask("hi")).await.unwrap();
    let id = handle.id().clone();
    let call = strings.call().await;
    let mut following = Vec::new();
    for n in 0..=pieces {
        for (_, after) in followers.iter().filter(|(comes, _)| *comes == n) {
            let (stage, id, after) = (stage.clone(), id.clone(), *after);
            following.push((after, tokio::spawn(async move { followed(&stage, &ctx(), &id, after).await })));
        }
        call.say(&format!("{n};")).await;
    }
    call.end().await;
    soon(handle.wait()).await.unwrap();
    let recorded = stage.recorded(&id).await;
    let last = recorded.len() as u64;
    assert_eq!(seqs(&recorded), from_to(0, last));
    assert_eq!(spelled(&recorded), (0..=pieces).map(|n| format!("{n};")).collect::<String>());
    for (after, following) in following {
        let shown = soon(following).await.unwrap();
        assert_eq!(seqs(&shown), from_to(after, last.max(after)), "after {after}");
        assert_eq!(shown, recorded[(after as usize).min(recorded.len())..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn followers_who_come_at_any_moment_see_every_event_once(
        pieces in 1_usize..400,
        followers in proptest::collection::vec((0_usize..400, 0_u64..40), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let followers = followers.into_iter().map(|(comes, after)| (comes.min(pieces), after)).collect();
        runtime.block_on(check_followers(pieces, followers));
    }
}
