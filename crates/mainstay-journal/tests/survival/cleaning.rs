//! Giving space back: after a purge the disk holds less, and what is kept is the same, also from the log alone.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::Trial;
use mainstay_core::Ctx;
use mainstay_core::journal::{Retention, RunFilter, RunJournal, RunRecord};
use mainstay_core::run::RunStatus;
use mainstay_journal::Journal;

use super::fixture::{
    Acknowledged, Kept, append, copy, event, events_of, files, folder, in_session, open, record, run, run_id,
    trial, wait,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("after_a_purge_the_disk_holds_less", disk_bytes_fall),
        trial("what_outlives_a_purge_is_the_same_when_the_view_is_rebuilt", survivors_are_whole),
        trial("the_order_of_creation_outlives_the_first_record", order_survives),
        trial("blobs_go_with_their_last_record", blobs_go),
        trial("a_deleted_session_does_not_come_back", deletions_stay),
        trial("superseded_records_are_cleaned_too", superseded),
        trial("runs_cleaned_in_use_stay_readable", readers_never_miss),
    ]
}

/// `count` finished runs of about 4 KiB, the oldest first.
fn fill(journal: &Journal, name: &str, count: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for n in 0..count {
        let id = format!("{name}-{n}");
        let mut records = vec![record(in_session(run(&id, RunStatus::Running, n), &format!("s{}", n % 5)))];
        records.extend((1..=4).map(|seq| event(&id, seq, format!("{id} {seq} ").repeat(90))));
        records.push(record(in_session(run(&id, RunStatus::Completed, n), &format!("s{}", n % 5))));
        wait(append(journal, records.clone())).unwrap();
        acknowledged.note(&records);
    }
    acknowledged
}

fn purge(journal: &Journal, before_ms: u64, bytes_max: u64) -> u64 {
    let keep = Retention { before_ms, bytes_max };
    wait(journal.purge(&Ctx::system(), keep)).unwrap().runs
}

fn log_bytes(folder: &Path) -> u64 {
    files(&folder.join("log")).iter().map(|(_, bytes)| bytes).sum()
}

/// Opens the folder without its view: all that is known comes from the log.
fn from_log_alone(folder: &Path) -> (tempfile::TempDir, Arc<Journal>) {
    let copied = super::fixture::folder();
    copy(folder, copied.path());
    std::fs::remove_file(copied.path().join("view.redb")).unwrap();
    let journal = open(copied.path());
    assert!(journal.stats().view_rebuilt);
    (copied, journal)
}

fn order(journal: &Journal, session: Option<&str>) -> Vec<String> {
    let session = session.map(|id| mainstay_core::SessionId::parse(id).unwrap());
    let filter = RunFilter { session, limit: 1_000, ..RunFilter::default() };
    let page = wait(journal.runs(&Ctx::system(), &filter)).unwrap();
    page.runs.iter().map(|run| run.id.to_string()).collect()
}

fn disk_bytes_fall() {
    let folder = folder();
    let journal = open(folder.path());
    fill(&journal, "run", 300);
    let full = (log_bytes(folder.path()), journal.stats());
    assert!(full.0 > 900_000, "the journal is full: {}", full.0);
    assert_eq!(purge(&journal, 200, u64::MAX), 200);
    let third = log_bytes(folder.path());
    assert!(third < full.0 * 3 / 4, "{third} of {} bytes are left of a third of the runs", full.0);
    assert_eq!(purge(&journal, u64::MAX, u64::MAX), 100);
    let none = log_bytes(folder.path());
    assert!(none < 200_000, "{none} bytes are left of nothing");
    assert_eq!(journal.stats().log_bytes, none, "the stats tell the truth");
    assert!(journal.stats().segments < full.1.segments);
    // By bytes: what is kept is within the bound, and the disk within twice that and some slack.
    fill(&journal, "again", 300);
    purge(&journal, 0, 300_000);
    assert!(journal.stats().live_bytes <= 300_000);
    assert!(log_bytes(folder.path()) < 2 * 300_000 + 200_000, "{}", log_bytes(folder.path()));
}

fn survivors_are_whole() {
    let folder = folder();
    let journal = open(folder.path());
    // Unfinished runs lie among the finished ones, so that segments hold dead and living records.
    let mut survivors = Acknowledged::default();
    for n in 0..10 {
        fill(&journal, &format!("dead{n}"), 25);
        let id = format!("alive-{n}");
        let mut records = vec![record(in_session(run(&id, RunStatus::Running, 7), "kept"))];
        records.extend((1..=3).map(|seq| event(&id, seq, format!("{id} {seq} ").repeat(50))));
        wait(append(&journal, records.clone())).unwrap();
        survivors.note(&records);
    }
    let before = order(&journal, Some("kept"));
    let segments = journal.stats().segments;
    assert_eq!(purge(&journal, u64::MAX, u64::MAX), 250);
    assert!(journal.stats().segments < segments / 2, "segments with living records were cleaned");
    let more = vec![
        event("alive-3", 4, "later".to_owned()),
        record(in_session(run("alive-4", RunStatus::Completed, 9), "kept")),
    ];
    wait(append(&journal, more.clone())).unwrap();
    survivors.note(&more);
    assert_eq!(survivors.check(&journal), Kept::All);
    journal.close();
    let (_copied, rebuilt) = from_log_alone(folder.path());
    assert_eq!(survivors.check(&rebuilt), Kept::All);
    assert_eq!(order(&rebuilt, Some("kept")), before, "the conversation is in its order");
    assert_eq!(order(&rebuilt, None).len(), survivors.runs(), "nothing forgotten came back");
    assert_eq!(rebuilt.stats().live_bytes, open(folder.path()).stats().live_bytes, "both weigh the same");
}

fn order_survives() {
    let folder = folder();
    let journal = open(folder.path());
    for id in ["first", "second", "third"] {
        wait(append(&journal, vec![record(in_session(run(id, RunStatus::Queued, 5), "s"))])).unwrap();
    }
    // Their first records are superseded, in another order than they were made, and cleaned away.
    for round in 0..3 {
        fill(&journal, &format!("dead{round}"), 60);
        for id in ["third", "first", "second"] {
            let mut changed = in_session(run(id, RunStatus::Running, 5), "s");
            changed.steps = round + 1;
            wait(append(&journal, vec![record(changed), event(id, u64::from(round) + 1, "x".to_owned())]))
                .unwrap();
        }
        purge(&journal, u64::MAX, u64::MAX);
    }
    assert_eq!(order(&journal, Some("s")), ["first", "second", "third"]);
    journal.close();
    let (_copied, rebuilt) = from_log_alone(folder.path());
    assert_eq!(order(&rebuilt, Some("s")), ["first", "second", "third"]);
    assert_eq!(order(&rebuilt, None), ["third", "second", "first"]);
    for id in ["first", "second", "third"] {
        let events = wait(events_of(&rebuilt, &run_id(id))).unwrap();
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
        let kept = wait(rebuilt.run(&Ctx::system(), &run_id(id))).unwrap().unwrap();
        assert_eq!(kept.steps, 3, "the newest record wins");
    }
}

fn blobs_go() {
    let folder = folder();
    let journal = open(folder.path());
    let large = "shared ".repeat(1_000);
    for (id, at_ms) in [("a", 10), ("b", 20)] {
        let own = format!("{id} alone ").repeat(1_000);
        let events = vec![event(id, 1, large.clone()), event(id, 2, own)];
        wait(append(&journal, [vec![record(run(id, RunStatus::Completed, at_ms))], events].concat()))
            .unwrap();
    }
    let blobs = || files(&folder.path().join("blobs")).len();
    assert_eq!(blobs(), 3, "one is shared");
    purge(&journal, 15, u64::MAX);
    assert_eq!(blobs(), 2, "the shared one stays with its other run");
    let events = wait(events_of(&journal, &run_id("b"))).unwrap();
    assert_eq!(events.len(), 2);
    // Written over: the old value is nobody's any more.
    wait(append(&journal, vec![event("b", 2, "small".to_owned())])).unwrap();
    purge(&journal, 0, u64::MAX);
    assert_eq!(blobs(), 1);
    purge(&journal, 100, u64::MAX);
    assert_eq!(blobs(), 0);
    assert_eq!(journal.stats().live_bytes, 0);
    // A file that a crash left behind goes at the next open.
    journal.close();
    std::fs::write(folder.path().join("blobs").join("ab".repeat(32)), "orphan").unwrap();
    open(folder.path());
    assert_eq!(blobs(), 0);
}

fn deletions_stay() {
    let folder = folder();
    let journal = open(folder.path());
    fill(&journal, "run", 100);
    let session = mainstay_core::SessionId::parse("s3").unwrap();
    wait(append(&journal, vec![RunRecord::SessionDeleted { session: session.clone() }])).unwrap();
    for round in 0..4 {
        fill(&journal, &format!("more{round}"), 60);
        // Spares the runs of `run-*` above 60, drops the rest.
        purge(&journal, 60, u64::MAX);
        wait(append(&journal, vec![RunRecord::SessionDeleted { session: session.clone() }])).unwrap();
    }
    let left = order(&journal, None);
    assert_eq!(left.len(), 32, "forty runs less those of the session");
    assert!(order(&journal, Some("s3")).is_empty());
    journal.close();
    let (_copied, rebuilt) = from_log_alone(folder.path());
    assert_eq!(order(&rebuilt, None), left);
    assert!(wait(rebuilt.session(&Ctx::system(), &session)).unwrap().is_none());
}

fn superseded() {
    let folder = folder();
    let journal = open(folder.path());
    for n in 0..600 {
        let mut changed = run("r", RunStatus::Running, 1);
        changed.steps = n;
        changed.input.query = "q".repeat(1_500);
        wait(append(&journal, vec![record(changed)])).unwrap();
    }
    let before = log_bytes(folder.path());
    assert_eq!(purge(&journal, 0, u64::MAX), 0, "nothing is forgotten");
    let after = log_bytes(folder.path());
    assert!(after < before / 4, "{after} of {before} bytes are left of one run");
    journal.close();
    let (_copied, rebuilt) = from_log_alone(folder.path());
    assert_eq!(wait(rebuilt.run(&Ctx::system(), &run_id("r"))).unwrap().unwrap().steps, 599);
}

/// Reads go on while segments are dropped under them.
fn readers_never_miss() {
    let folder = folder();
    let journal = open(folder.path());
    let mut alive = Acknowledged::default();
    for n in 0..8 {
        let id = format!("alive-{n}");
        let records =
            vec![record(run(&id, RunStatus::Running, 1)), event(&id, 1, format!("{id} ").repeat(100))];
        wait(append(&journal, records.clone())).unwrap();
        alive.note(&records);
    }
    let cleaner = {
        let journal = journal.clone();
        std::thread::spawn(move || {
            for round in 0..6 {
                fill(&journal, &format!("dead{round}"), 60);
                purge(&journal, u64::MAX, u64::MAX);
            }
        })
    };
    let mut looks = 0;
    while !cleaner.is_finished() {
        assert_eq!(alive.check(&journal), Kept::All);
        looks += 1;
    }
    cleaner.join().unwrap();
    assert!(looks > 3, "the readers were at work");
}
