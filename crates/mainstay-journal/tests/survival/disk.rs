//! A disk that fails: the journal stops acknowledging for good, never asks the disk again, and loses nothing that it
//! acknowledged before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use libtest_mimic::Trial;
use mainstay_core::journal::RunJournal;
use mainstay_core::run::RunStatus;
use mainstay_core::{Ctx, Retry, codes};
use mainstay_journal::medium::Medium;
use mainstay_journal::{Journal, Options};

use super::fixture::{
    Acknowledged, Kept, append, event, folder, open, options, record, run, run_id, spawn, trial, wait,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_failed_sync_ends_acknowledging_and_is_never_retried", || fails(Fault::Sync)),
        trial("a_full_disk_ends_acknowledging", || fails(Fault::Full)),
        trial("a_write_that_stops_halfway_ends_acknowledging", || fails(Fault::HalfWrite)),
        trial("a_large_value_without_room_is_refused_for_now_and_ends_nothing", no_room_for_blobs),
        trial("a_full_queue_refuses_with_overloaded_and_recovers", overload),
        trial("a_second_opening_is_refused_and_names_the_process", locked),
        trial("a_view_that_cannot_go_on_ends_the_writes_and_is_rebuilt_at_a_restart", view_fails),
        trial("a_closed_journal_refuses_and_leaves_a_whole_folder", closed),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Sync,
    Full,
    HalfWrite,
}

/// Works until the given number of calls, then fails.
#[derive(Debug)]
struct Failing {
    fault: Fault,
    good: u64,
    calls: AtomicU64,
    calls_after_failure: AtomicU64,
}

impl Failing {
    fn fails_now(&self, is_its_call: bool) -> bool {
        if self.calls.load(SeqCst) > self.good {
            self.calls_after_failure.fetch_add(1, SeqCst);
        }
        is_its_call && self.calls.fetch_add(1, SeqCst) >= self.good
    }
}

impl Medium for Failing {
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Only segments: the mark is written beside them.
        if path.extension().is_none() || !self.fails_now(self.fault != Fault::Sync) {
            return file.write_all_at(bytes, offset);
        }
        if self.fault == Fault::HalfWrite {
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
        }
        Err(io::Error::from_raw_os_error(28))
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        if path.extension().is_some() && self.fails_now(self.fault == Fault::Sync) {
            return Err(io::Error::from_raw_os_error(5));
        }
        file.sync_data()
    }
}

fn fails(fault: Fault) {
    for good in [2, 3, 7, 20, 61] {
        let folder = folder();
        let medium = Arc::new(Failing {
            fault,
            good,
            calls: AtomicU64::new(0),
            calls_after_failure: AtomicU64::new(0),
        });
        let mut acknowledged = Acknowledged::default();
        let options_failing = Options { medium: medium.clone(), ..options(folder.path()) };
        // The first calls may fall into the opening itself, which must then say so.
        let Ok(journal) = Journal::open(options_failing) else { continue };
        let mut refused = 0;
        for n in 0..100 {
            let id = format!("run-{n}");
            let events = (1..=4).map(|seq| event(&id, seq, "x".repeat(500)));
            let records: Vec<_> =
                std::iter::once(record(run(&id, RunStatus::Completed, n))).chain(events).collect();
            match wait(append(&journal, records.clone())) {
                Ok(()) => {
                    assert_eq!(refused, 0, "an append was acknowledged after a failure");
                    acknowledged.note(&records);
                }
                Err(error) => {
                    assert_eq!(
                        (error.code(), error.retry()),
                        (&codes::JOURNAL_UNAVAILABLE, Retry::Permanent)
                    );
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{fault:?} after {good} calls was met");
        let probe =
            wait(journal.probe(&Ctx::system())).expect_err("a probe succeeds exactly when an append would");
        assert_eq!(probe.code(), &codes::JOURNAL_UNAVAILABLE);
        assert_eq!(acknowledged.check(&journal), Kept::All, "reads go on");
        drop(journal);
        assert_eq!(medium.calls_after_failure.load(SeqCst), 0, "the failed disk was asked again");
        let journal = open(folder.path());
        assert_eq!(acknowledged.check(&journal), Kept::All);
        wait(append(&journal, vec![record(run("after", RunStatus::Running, 1))])).expect("a restart helps");
    }
}

fn no_room_for_blobs() {
    let folder = folder();
    let journal = open(folder.path());
    let mut acknowledged = Acknowledged::default();
    let large = vec![record(run("r", RunStatus::Completed, 2)), event("r", 1, "large ".repeat(1_000))];
    let (blobs, aside) = (folder.path().join("blobs"), folder.path().join("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    for _ in 0..2 {
        let refused = wait(append(&journal, large.clone())).expect_err("there is no place for it");
        assert_eq!((refused.code(), refused.retry()), (&codes::JOURNAL_UNAVAILABLE, Retry::Temporary(None)));
        wait(journal.probe(&Ctx::system())).expect("the log works");
        assert!(wait(journal.run(&Ctx::system(), &run_id("r"))).unwrap().is_none(), "part of it was kept");
    }
    let small = vec![record(run("s", RunStatus::Running, 1))];
    wait(append(&journal, small.clone())).expect("what is small has its place in the log");
    acknowledged.note(&small);
    std::fs::rename(&aside, &blobs).unwrap();
    wait(append(&journal, large.clone())).expect("the same append succeeds later");
    acknowledged.note(&large);
    assert_eq!(acknowledged.check(&journal), Kept::All);
}

/// Holds every sync until it is let go.
#[derive(Debug, Default)]
struct Stuck(std::sync::Mutex<()>);

impl Medium for Stuck {
    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        let _let_go = self.0.lock().unwrap();
        file.sync_data()
    }
}

fn overload() {
    let folder = folder();
    let medium = Arc::new(Stuck::default());
    let bounds = Options { medium: medium.clone(), queue_appends_max: 10, ..options(folder.path()) };
    let journal = Arc::new(Journal::open(bounds).unwrap());
    let held = medium.0.lock().unwrap();
    let one = |n| {
        let journal = journal.clone();
        async move { append(&journal, vec![record(run(&format!("r{n}"), RunStatus::Running, 1))]).await }
    };
    let appends: Vec<_> = (0..40).map(|n| spawn(one(n))).collect();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while journal.stats().overloaded < 20 {
        assert!(std::time::Instant::now() < deadline, "the queue's bound was not reached");
        std::thread::yield_now();
    }
    drop(held);
    let outcomes = appends.into_iter().map(|append| wait(append).unwrap());
    let (kept, refused): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    assert!(refused.iter().all(|outcome| outcome.as_ref().is_err_and(|e| e.code() == &codes::OVERLOADED)));
    assert!(kept.len() >= 10, "what was taken in was kept: {}", kept.len());
    wait(append(&journal, vec![record(run("after", RunStatus::Running, 1))]))
        .expect("the queue has room again");
}

fn locked() {
    let folder = folder();
    let first = open(folder.path());
    let error = Journal::open(options(folder.path())).expect_err("the folder is in use");
    assert_eq!(error.code(), &codes::JOURNAL_LOCKED);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    first.close();
    open(folder.path());
}

fn view_fails() {
    let folder = folder();
    let mut acknowledged = Acknowledged::default();
    let journal = open(folder.path());
    let segment = folder.path().join("log/0000000001.seg");
    let aside = folder.path().join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    let records = vec![record(run("r", RunStatus::Running, 1))];
    wait(append(&journal, records.clone())).expect("the log still has its file open");
    acknowledged.note(&records);
    let unread = wait(journal.run(&Ctx::system(), &run_id("r"))).expect_err("the view cannot read");
    assert_eq!(unread.code(), &codes::JOURNAL_UNAVAILABLE);
    let refused = wait(append(&journal, records)).expect_err("what cannot be read must not be taken in");
    assert_eq!(refused.code(), &codes::JOURNAL_UNAVAILABLE);
    assert!(wait(journal.probe(&Ctx::system())).is_err(), "readiness must fail");
    drop(journal);
    std::fs::rename(&aside, &segment).unwrap();
    assert_eq!(acknowledged.check(&open(folder.path())), Kept::All);
}

fn closed() {
    let folder = folder();
    let journal = open(folder.path());
    let records = vec![record(run("r", RunStatus::Running, 1)), event("r", 1, "x".to_owned())];
    let mut acknowledged = Acknowledged::default();
    acknowledged.note(&records);
    wait(append(&journal, records)).unwrap();
    journal.close();
    journal.close();
    let refused = wait(append(&journal, vec![record(run("s", RunStatus::Running, 1))])).unwrap_err();
    assert_eq!(refused.code(), &codes::JOURNAL_UNAVAILABLE);
    let refused = wait(journal.run(&Ctx::system(), &run_id("r"))).unwrap_err();
    assert_eq!(refused.code(), &codes::JOURNAL_UNAVAILABLE);
    let again = open(folder.path());
    assert_eq!(
        (again.stats().torn_bytes, again.stats().view_rebuilt),
        (0, false),
        "a closed journal is whole"
    );
    assert_eq!(acknowledged.check(&again), Kept::All);
}
