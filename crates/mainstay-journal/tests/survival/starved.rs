//! A process that may open no further file for a while: nothing acknowledged is lost, nothing fails for good, and what
//! waited goes on by itself. In a child, because the bound is the whole process's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mainstay_core::journal::RunJournal;
use mainstay_core::run::RunStatus;
use mainstay_core::{Ctx, SessionId, codes};
use mainstay_journal::Journal;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::fixture::{
    Acknowledged, Kept, append, event, files, folder, in_session, open, record, run, spawn, trial, wait,
};

/// Set in the child: where it works.
pub(crate) const CHILD_FOLDER: &str = "MAINSTAY_JOURNAL_STARVED_FOLDER";

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("want_of_descriptors_is_waited_out_and_ends_nothing", starved)]
}

fn starved() {
    let folder = folder();
    let ended =
        Command::new(std::env::current_exe().unwrap()).env(CHILD_FOLDER, folder.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// The child.
pub(crate) fn child(folder: &Path) {
    // The runtime has descriptors of its own.
    wait(std::future::ready(()));
    let journal = open(folder);
    let mut acknowledged = Acknowledged::default();
    view_waits(&journal, &mut acknowledged);
    view_goes_on(&journal, &mut acknowledged);
    log_waits(folder, &journal, &mut acknowledged);
    wait(journal.probe(&Ctx::system())).expect("the journal works");
    assert_eq!(acknowledged.check(&journal), Kept::All);
    journal.close();
    let again = open(folder);
    assert_eq!((again.stats().torn_bytes, again.stats().view_rebuilt), (0, false));
    assert_eq!(acknowledged.check(&again), Kept::All);
}

/// Lets no file be opened until it is dropped.
struct Starved(Option<u64>);

impl Starved {
    fn begin() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        let before = Self(limit.current);
        limit.current = Some(0);
        setrlimit(Resource::Nofile, limit).unwrap();
        assert!(std::fs::File::open("/").is_err(), "no file can be opened");
        before
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = self.0;
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

/// A run of the session named like it; a session is read from the view alone.
fn kept(journal: &Arc<Journal>, id: &str, acknowledged: &mut Acknowledged) {
    let records =
        vec![record(in_session(run(id, RunStatus::Completed, 1), id)), event(id, 1, "x".repeat(500))];
    wait(append(journal, records.clone())).expect("an append needs no new descriptor");
    acknowledged.note(&records);
}

fn is_shown(journal: &Journal, id: &str) -> mainstay_core::Result<bool> {
    let session = SessionId::parse(id).unwrap();
    wait(journal.session(&Ctx::system(), &session)).map(|found| found.is_some())
}

/// The view's first look at a segment needs a descriptor: readers are refused after a while, and then it goes on.
fn view_waits(journal: &Arc<Journal>, acknowledged: &mut Acknowledged) {
    let starved = Starved::begin();
    kept(journal, "before", acknowledged);
    let refused = is_shown(journal, "before").expect_err("the view cannot be brought up");
    assert_eq!(refused.code(), &codes::JOURNAL_UNAVAILABLE);
    kept(journal, "meanwhile", acknowledged);
    drop(starved);
    let deadline = Instant::now() + PATIENCE;
    while !is_shown(journal, "meanwhile").is_ok_and(|shown| shown) {
        assert!(Instant::now() < deadline, "the view did not go on");
        std::thread::yield_now();
    }
}

/// A segment that is followed already needs none.
fn view_goes_on(journal: &Arc<Journal>, acknowledged: &mut Acknowledged) {
    let _starved = Starved::begin();
    for n in 0..3 {
        let id = format!("followed-{n}");
        kept(journal, &id, acknowledged);
        assert!(is_shown(journal, &id).expect("the segment is open"), "{id}");
    }
}

/// The next segment needs one: appends wait for it.
fn log_waits(folder: &Path, journal: &Arc<Journal>, acknowledged: &mut Acknowledged) {
    let starved = Starved::begin();
    let appends: Vec<_> = (0..60)
        .map(|n| {
            let id = format!("waiting-{n}");
            let pieces = (1..=2).map(|seq| event(&id, seq, "x".repeat(1_500)));
            let records: Vec<_> =
                std::iter::once(record(run(&id, RunStatus::Completed, 1))).chain(pieces).collect();
            let journal = journal.clone();
            (records.clone(), spawn(async move { append(&journal, records).await }))
        })
        .collect();
    // Each append has three records, so that one record more than was appended is the end of a segment.
    let at_the_end = || {
        let stats = journal.stats();
        stats.durable_lsn == stats.records + 1
    };
    let deadline = Instant::now() + PATIENCE;
    while !at_the_end() {
        assert!(Instant::now() < deadline, "the first segment was not filled");
        std::thread::yield_now();
    }
    drop(starved);
    for (records, appended) in appends {
        wait(appended).unwrap().expect("an append outlasts the want of descriptors");
        acknowledged.note(&records);
    }
    // One may be enough: whatever waited can be one batch, which is not divided between segments.
    let segments = files(&folder.join("log"));
    assert!(segments.len() > 1, "no segment was opened: {segments:?}");
}
