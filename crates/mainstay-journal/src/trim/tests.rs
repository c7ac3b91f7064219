//! What happens between two pieces of the copying of a segment, step by step.

use std::path::Path;

use mainstay_core::journal::{RunFilter, RunJournal, RunRecord};
use mainstay_core::run::{Run, RunStatus};
use mainstay_core::{Ctx, SessionId};
use serde_json::json;

use super::*;
use crate::options::Options;

fn open(folder: &Path) -> Journal {
    let options = Options { segment_bytes: 8 * 1024 * 1024, reserve_bytes: 0, ..Options::new(folder) };
    Journal::open(options).unwrap()
}

fn run(id: &str, status: RunStatus) -> RunRecord {
    let run = json!({
        "id": id, "agent": "a", "session": "s", "status": status, "principal": "p",
        "created_ms": 1, "updated_ms": 1, "input": {"query": "q"},
    });
    RunRecord::Run(Box::new(serde_json::from_value::<Run>(run).unwrap()))
}

/// A living record of the size of a copy.
fn filler() -> RunRecord {
    let kind = json!({"text": {"delta": "x".repeat(60_000)}});
    serde_json::from_value(json!({"event": {"run": "second", "event": {"seq": 1, "at_ms": 1, "kind": kind}}}))
        .unwrap()
}

async fn keep(journal: &Journal, records: Vec<RunRecord>) {
    journal.append(&Ctx::system(), records).await.unwrap();
}

async fn order(journal: &Journal) -> Vec<String> {
    let session = SessionId::parse("s");
    let page = journal.runs(&Ctx::system(), &RunFilter { session, limit: 9, ..RunFilter::default() }).await;
    page.unwrap().runs.iter().map(|run| run.id.to_string()).collect()
}

#[tokio::test]
async fn a_run_that_changes_while_its_segment_is_copied_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    keep(&journal, vec![run("first", RunStatus::Queued)]).await;
    keep(&journal, vec![run("second", RunStatus::Completed)]).await;
    for seq in 1..=20 {
        let RunRecord::Event { run, mut event } = filler() else { panic!("an event") };
        event.seq = seq;
        keep(&journal, vec![RunRecord::Event { run, event }]).await;
    }
    keep(&journal, vec![run("first", RunStatus::Running)]).await;
    journal.engine.log.rotate().unwrap().await.unwrap();
    let next = journal.copy_some(1, HEAD_BYTES).await.unwrap();
    assert!(next.is_some(), "the copies are more than one append");
    keep(&journal, vec![run("first", RunStatus::Completed)]).await;
    let mut from = next;
    while let Some(at) = from {
        from = journal.copy_some(1, at).await.unwrap();
    }
    journal.engine.drop_copied(1).await.unwrap();
    assert_eq!(order(&journal).await, ["first", "second"]);
    drop(journal);
    std::fs::remove_file(folder.path().join("view.redb")).unwrap();
    let rebuilt = open(folder.path());
    assert!(rebuilt.stats().view_rebuilt);
    assert_eq!(order(&rebuilt).await, ["first", "second"]);
    let found = rebuilt.run(&Ctx::system(), &RunId::parse("first").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.status, RunStatus::Completed, "the newest record wins");
}
