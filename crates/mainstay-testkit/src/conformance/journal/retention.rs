//! Retention: by age, then by bytes, oldest first; never an unfinished run.

use mainstay_core::Ctx;
use mainstay_core::journal::{Purged, Retention, RunFilter};
use mainstay_core::run::RunStatus;

use super::{Journal, event, keep, listed, promises, record, run, seqs, text};

promises!(
    finished_runs_older_than_the_bound_are_forgotten_with_their_events,
    unfinished_runs_are_always_kept,
    the_oldest_finished_runs_give_way_to_the_byte_bound,
    a_purge_is_idempotent,
);

async fn purge(journal: &Journal, before_ms: u64, bytes_max: u64) -> Purged {
    journal.purge(&Ctx::system(), Retention { before_ms, bytes_max }).await.expect("the purge succeeds")
}

async fn left(journal: &Journal) -> Vec<String> {
    listed(journal, RunFilter { limit: 1_000, ..Default::default() }).await
}

async fn finished_runs_older_than_the_bound_are_forgotten_with_their_events(journal: Journal) {
    for (id, at_ms) in [("a", 10), ("b", 20), ("c", 30)] {
        keep(&journal, vec![record(run(id, RunStatus::Completed, at_ms)), event(id, text(1, "x"))]).await;
    }
    let purged = purge(&journal, 20, u64::MAX).await;
    assert_eq!(purged.runs, 1, "only what changed before the bound is old");
    assert_eq!(left(&journal).await, ["c", "b"]);
    assert!(seqs(&journal, "a", 0, 9).await.is_empty());
    assert_eq!(seqs(&journal, "b", 0, 9).await, [1]);
}

async fn unfinished_runs_are_always_kept(journal: Journal) {
    keep(&journal, vec![record(run("q", RunStatus::Queued, 1)), record(run("r", RunStatus::Running, 1))])
        .await;
    let purged = purge(&journal, u64::MAX, 0).await;
    assert_eq!(purged.runs, 0);
    assert!(purged.bytes_kept > 0, "kept runs weigh something");
    assert_eq!(left(&journal).await, ["r", "q"]);
    for status in [RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled, RunStatus::Interrupted] {
        keep(&journal, vec![record(run("q", status, 2))]).await;
        assert_eq!(purge(&journal, 3, u64::MAX).await.runs, 1, "{status:?} is final");
    }
}

async fn the_oldest_finished_runs_give_way_to_the_byte_bound(journal: Journal) {
    for n in 0..20_u64 {
        let id = format!("run-{n:02}");
        let body = "x".repeat(1_000);
        keep(&journal, vec![record(run(&id, RunStatus::Completed, 100 + n)), event(&id, text(1, &body))])
            .await;
    }
    let all = purge(&journal, 0, u64::MAX).await;
    assert_eq!(all.runs, 0);
    assert!(all.bytes_kept >= 20_000, "twenty runs of a thousand bytes weigh that at least");
    let half = purge(&journal, 0, all.bytes_kept / 2).await;
    assert!(half.bytes_kept <= all.bytes_kept / 2, "the bound was not reached");
    assert!((8..=12).contains(&half.runs), "{} runs went for half the bytes", half.runs);
    let expect: Vec<String> = (half.runs..20).rev().map(|n| format!("run-{n:02}")).collect();
    assert_eq!(left(&journal).await, expect, "the oldest go first");
    assert_eq!(purge(&journal, 0, 0).await, Purged { runs: 20 - half.runs, bytes_kept: 0 });
}

async fn a_purge_is_idempotent(journal: Journal) {
    for (id, at_ms) in [("a", 10), ("b", 20)] {
        keep(&journal, vec![record(run(id, RunStatus::Completed, at_ms))]).await;
    }
    let first = purge(&journal, 15, u64::MAX).await;
    let again = purge(&journal, 15, u64::MAX).await;
    assert_eq!((first.runs, again.runs), (1, 0));
    assert_eq!(first.bytes_kept, again.bytes_kept);
    assert_eq!(left(&journal).await, ["b"]);
}
