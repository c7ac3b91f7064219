//! Events: by run, ascending, each number once, of any size and content.

use mainstay_core::journal::EVENT_PAGE_BYTES_MAX;
use mainstay_core::model::Usage;
use mainstay_core::run::{RunError, RunEvent, RunEventKind, RunStatus};
use mainstay_core::{Ctx, codes};
use serde_json::json;

use super::{Journal, all_events, event, keep, promises, record, run, run_id, seqs, text};

promises!(
    events_come_ascending_after_a_number_up_to_a_limit,
    a_page_of_events_ends_with_its_bytes,
    an_event_written_again_is_kept_once,
    events_of_one_run_are_not_anothers,
    every_kind_of_event_reads_back_as_appended,
    large_values_read_back_as_appended,
);

async fn events_come_ascending_after_a_number_up_to_a_limit(journal: Journal) {
    let mut records = vec![record(run("r", RunStatus::Running, 1))];
    records.extend((1..=300).map(|seq| event("r", text(seq, "x"))));
    keep(&journal, records).await;
    assert_eq!(seqs(&journal, "r", 0, 1_000).await, (1..=300).collect::<Vec<_>>());
    assert_eq!(seqs(&journal, "r", 0, 3).await, [1, 2, 3]);
    assert_eq!(seqs(&journal, "r", 255, 3).await, [256, 257, 258]);
    assert_eq!(seqs(&journal, "r", 299, 3).await, [300]);
    for (after, limit, more) in [(0, 3, true), (297, 3, false), (298, 3, false), (300, 3, false)] {
        let page =
            journal.events(&Ctx::system(), &run_id("r"), after, limit).await.expect("the events are read");
        assert_eq!(page.more, more, "after {after}, limit {limit}");
    }
    for (after, limit) in [(300, 3), (u64::MAX, 3), (0, 0)] {
        assert!(seqs(&journal, "r", after, limit).await.is_empty(), "after {after}, limit {limit}");
    }
}

async fn a_page_of_events_ends_with_its_bytes(journal: Journal) {
    let bytes = usize::try_from(EVENT_PAGE_BYTES_MAX).expect("a page fits into memory");
    // Two fit into a page; the third alone is more than one.
    for (seq, share) in (1_u64..).zip([3, 3, 1, 1, 3, 3]) {
        let run = (seq == 1).then(|| record(run("r", RunStatus::Running, 1)));
        let large = event("r", text(seq, &"x".repeat(bytes / share)));
        keep(&journal, run.into_iter().chain([large]).collect()).await;
    }
    for (after, expect, more) in [(0, vec![1, 2], true), (2, vec![3], true), (4, vec![5, 6], false)] {
        let page =
            journal.events(&Ctx::system(), &run_id("r"), after, 99).await.expect("the events are read");
        let found: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        assert_eq!((found, page.more), (expect, more), "after {after}");
    }
    assert_eq!(all_events(&journal, "r").await.len(), 6);
}

async fn an_event_written_again_is_kept_once(journal: Journal) {
    keep(&journal, vec![record(run("r", RunStatus::Running, 1)), event("r", text(1, "x"))]).await;
    keep(&journal, vec![event("r", text(1, "x")), event("r", text(2, "y"))]).await;
    assert_eq!(seqs(&journal, "r", 0, 10).await, [1, 2]);
}

async fn events_of_one_run_are_not_anothers(journal: Journal) {
    let ids = ["r", "r1", "r10", "r-", "s"];
    for (n, id) in (1_u64..).zip(ids) {
        let events = (1..=n).map(|seq| event(id, text(seq, id)));
        keep(&journal, std::iter::once(record(run(id, RunStatus::Running, 1))).chain(events).collect()).await;
    }
    for (n, id) in (1_u64..).zip(ids) {
        assert_eq!(seqs(&journal, id, 0, 99).await, (1..=n).collect::<Vec<_>>(), "{id}");
    }
}

async fn every_kind_of_event_reads_back_as_appended(journal: Journal) {
    let error = || RunError {
        retry_after_ms: Some(1_500),
        help: Some("look again".to_owned()),
        ..RunError::new(&codes::PROVIDER_TIMEOUT, "the provider was slow")
    };
    let usage = Usage { input_uncached: u64::MAX, output: 7, ..Usage::default() };
    let strange = "nul \0, quote \" \\, newline \n, ü 漢 \u{1F980}, \u{2028}".to_owned();
    let own = || strange.clone();
    let kinds = vec![
        RunEventKind::Started,
        RunEventKind::Text { delta: own() },
        RunEventKind::Reasoning { delta: String::new() },
        RunEventKind::ToolCall { id: own(), name: own(), arguments: "{not json".to_owned() },
        RunEventKind::ToolResult { id: own(), name: own(), content: own(), is_error: true },
        RunEventKind::Step { step: u32::MAX, model: own(), finish_reason: own(), usage },
        RunEventKind::Custom { name: own(), data: json!({"z": 1, "a": [null, 1.5e300, {"b": own()}]}) },
        RunEventKind::Custom { name: own(), data: json!(null) },
        RunEventKind::Failed(error()),
        RunEventKind::Cancelled(error()),
        RunEventKind::Interrupted(error()),
        RunEventKind::Completed { finish_reason: own(), answer: own(), usage },
    ];
    let events: Vec<RunEvent> =
        (1_u64..).zip(kinds).map(|(seq, kind)| RunEvent { seq, at_ms: u64::MAX - seq, kind }).collect();
    let records = events.iter().map(|e| event("r", e.clone()));
    keep(&journal, std::iter::once(record(run("r", RunStatus::Running, 1))).chain(records).collect()).await;
    assert_eq!(all_events(&journal, "r").await, events);
}

async fn large_values_read_back_as_appended(journal: Journal) {
    let sizes = [65_000, 65_536, 66_000, 200_000, 1_500_000];
    let events: Vec<RunEvent> =
        (1_u64..).zip(sizes).map(|(seq, size)| text(seq, &"large \u{fc} ".repeat(size / 8))).collect();
    let mut large = run("r", RunStatus::Completed, 1);
    large.input.context = json!("c".repeat(300_000));
    let records = events.iter().map(|e| event("r", e.clone()));
    keep(&journal, std::iter::once(record(large.clone())).chain(records).collect()).await;
    // The same large value again, under another run: it must not depend on the first.
    keep(&journal, vec![record(run("s", RunStatus::Completed, 1)), event("s", events[4].clone())]).await;
    let ctx = Ctx::system();
    assert_eq!(journal.run(&ctx, &run_id("r")).await.expect("the run is read"), Some(large));
    assert_eq!(all_events(&journal, "r").await, events);
    assert_eq!(all_events(&journal, "s").await, [events[4].clone()]);
}
