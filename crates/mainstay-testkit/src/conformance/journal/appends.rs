//! Appends: durable as a whole, in order, visible at once.

use std::task::{Context, Waker};

use mainstay_core::journal::DEPTH_MAX;
use mainstay_core::message::{Message, Part, Role};
use mainstay_core::run::{RunEvent, RunEventKind, RunStatus};
use mainstay_core::{Ctx, codes};
use serde_json::json;

use super::{Journal, all_events, event, keep, promises, record, run, run_id, seqs, text};

promises!(
    reads_see_every_acknowledged_append,
    readers_see_all_of_an_append_or_nothing,
    records_of_an_append_take_effect_in_order,
    an_empty_append_succeeds,
    values_nest_up_to_their_bound_and_an_append_beyond_it_keeps_nothing,
    a_dropped_append_is_kept_whole_or_not_at_all,
    concurrent_appends_are_all_kept,
    a_probe_succeeds_where_an_append_would_and_leaves_nothing,
);

async fn reads_see_every_acknowledged_append(journal: Journal) {
    let tasks = (0..4_u32).map(|writer| {
        let journal = journal.clone();
        tokio::spawn(async move {
            let id = format!("run-{writer}");
            keep(&journal, vec![record(run(&id, RunStatus::Running, 1))]).await;
            for seq in 1..=50 {
                keep(&journal, vec![event(&id, text(seq, "x"))]).await;
                assert_eq!(
                    seqs(&journal, &id, seq - 1, 10).await,
                    [seq],
                    "a read missed what was acknowledged"
                );
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("the writer read its own writes");
    }
}

async fn readers_see_all_of_an_append_or_nothing(journal: Journal) {
    const GROUP: u64 = 7;
    let writer = tokio::spawn({
        let journal = journal.clone();
        async move {
            for round in 0..60 {
                let mut changed = run("r", RunStatus::Running, 1);
                changed.steps = u32::try_from(round).expect("few rounds") + 1;
                let events = (1..=GROUP).map(|n| event("r", text(round * GROUP + n, "piece")));
                keep(&journal, std::iter::once(record(changed)).chain(events).collect()).await;
            }
        }
    });
    while !writer.is_finished() {
        let before = journal.run(&Ctx::system(), &run_id("r")).await.expect("the run is read");
        let seen = seqs(&journal, "r", 0, 10_000).await.len() as u64;
        let after = journal.run(&Ctx::system(), &run_id("r")).await.expect("the run is read");
        assert_eq!(seen % GROUP, 0, "a reader saw part of an append");
        let steps = |run: Option<mainstay_core::run::Run>| run.map_or(0, |run| u64::from(run.steps));
        let (low, high) = (steps(before), steps(after));
        assert!((low..=high).contains(&(seen / GROUP)), "run and events of one append were seen apart");
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer finished");
}

async fn records_of_an_append_take_effect_in_order(journal: Journal) {
    let mut second = run("r", RunStatus::Completed, 2);
    second.answer = Some("later".to_owned());
    let first = record(run("r", RunStatus::Running, 1));
    let events = [event("r", text(1, "first")), event("r", text(1, "second"))];
    keep(&journal, [vec![first, record(second.clone())], events.to_vec()].concat()).await;
    let ctx = Ctx::system();
    assert_eq!(journal.run(&ctx, &run_id("r")).await.expect("read"), Some(second));
    assert_eq!(all_events(&journal, "r").await, [text(1, "second")]);
}

async fn an_empty_append_succeeds(journal: Journal) {
    keep(&journal, Vec::new()).await;
}

async fn values_nest_up_to_their_bound_and_an_append_beyond_it_keeps_nothing(journal: Journal) {
    let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let own =
        |data| RunEvent { seq: 1, at_ms: 1, kind: RunEventKind::Custom { name: "own".to_owned(), data } };
    let asked = |id, context, metadata| {
        let mut run = run(id, RunStatus::Running, 1);
        (run.input.context, run.input.metadata) = (context, metadata);
        run
    };
    let block = |value| {
        let mut run = run("r", RunStatus::Completed, 1);
        run.messages =
            vec![Message { role: Role::User, parts: vec![Part::Opaque { dialect: "d".into(), value }] }];
        run
    };
    let ctx = Ctx::system();
    let most = asked("most", nested(DEPTH_MAX), json!({ "m": nested(DEPTH_MAX - 1) }));
    let event_most = own(nested(DEPTH_MAX));
    keep(&journal, vec![record(most.clone()), event("most", event_most.clone())]).await;
    assert_eq!(journal.run(&ctx, &run_id("most")).await.expect("read"), Some(most.clone()));
    assert_eq!(all_events(&journal, "most").await, [event_most]);
    for too_deep in [
        record(asked("r", nested(DEPTH_MAX + 1), json!(null))),
        record(asked("r", json!(null), nested(DEPTH_MAX + 1))),
        record(block(nested(DEPTH_MAX + 1))),
        event("r", own(nested(DEPTH_MAX + 1))),
    ] {
        let records = vec![record(run("r", RunStatus::Running, 1)), too_deep];
        let refused = journal.append(&ctx, records).await.expect_err("what could not be read is not kept");
        assert_eq!(refused.code(), &codes::INVALID_FIELD);
        assert_eq!(journal.run(&ctx, &run_id("r")).await.expect("read"), None, "part of it was kept");
    }
    let all = super::RunFilter { limit: 9, ..Default::default() };
    assert_eq!(journal.runs(&ctx, &all).await.expect("listed").runs, [most]);
}

async fn a_dropped_append_is_kept_whole_or_not_at_all(journal: Journal) {
    let ctx = Ctx::system();
    for round in 0..40 {
        let id = format!("run-{round}");
        let events = (1..=5).map(|seq| event(&id, text(seq, "x")));
        let records = std::iter::once(record(run(&id, RunStatus::Running, 1))).chain(events).collect();
        let mut append = journal.append(&ctx, records);
        let _ = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(append);
    }
    keep(&journal, vec![record(run("last", RunStatus::Running, 1))]).await;
    for round in 0..40 {
        let id = format!("run-{round}");
        let known = journal.run(&ctx, &run_id(&id)).await.expect("read").is_some();
        let expected = if known { 5 } else { 0 };
        assert_eq!(seqs(&journal, &id, 0, 10).await.len(), expected, "part of a dropped append was kept");
    }
}

async fn concurrent_appends_are_all_kept(journal: Journal) {
    let writers: Vec<_> = (0..32_u32)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let id = format!("run-{writer}");
                keep(&journal, vec![record(run(&id, RunStatus::Running, 1))]).await;
                for seq in 1..=20 {
                    keep(&journal, vec![event(&id, text(seq, "x"))]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("every append was acknowledged");
    }
    for writer in 0..32 {
        assert_eq!(seqs(&journal, &format!("run-{writer}"), 0, 99).await, (1..=20).collect::<Vec<_>>());
    }
}

async fn a_probe_succeeds_where_an_append_would_and_leaves_nothing(journal: Journal) {
    journal.probe(&Ctx::system()).await.expect("the probe succeeds");
    let all = super::RunFilter { limit: 10, ..Default::default() };
    assert!(super::listed(&journal, all).await.is_empty(), "the probe left a run");
}
