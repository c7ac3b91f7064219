//! What the tests share: a journal with small bounds, runs and events with content, and a check of all of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libtest_mimic::Trial;
use mainstay_core::journal::{RunJournal, RunRecord};
use mainstay_core::model::Usage;
use mainstay_core::run::{Run, RunEvent, RunEventKind, RunInput, RunStatus};
use mainstay_core::{Ctx, Error, Name, RunId, SessionId, codes};
use mainstay_journal::{Journal, Options};

/// A folder for tests that need no real disk: in memory where the system has one.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A test that panics when it fails.
pub(crate) fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Segments of 64 KiB, blobs from 2 KiB on, no reserve.
pub(crate) fn options(folder: &Path) -> Options {
    Options {
        segment_bytes: 64 * 1024,
        inline_bytes_max: 2 * 1024,
        view_delay: Duration::from_millis(5),
        reserve_bytes: 0,
        ..Options::new(folder)
    }
}

pub(crate) fn open(folder: &Path) -> Arc<Journal> {
    Arc::new(Journal::open(options(folder)).unwrap_or_else(|e| panic!("{e}\n{}", e.internal().unwrap_or(""))))
}

/// A runtime of two threads that all tests share.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let start =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(start)
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    runtime().spawn(future)
}

pub(crate) fn run_id(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

pub(crate) fn run(id: &str, status: RunStatus, at_ms: u64) -> Run {
    Run {
        id: run_id(id),
        agent: Name::parse("helper").unwrap(),
        session: None,
        status,
        background: false,
        principal: "anonymous".to_owned(),
        created_ms: at_ms,
        updated_ms: at_ms,
        input: RunInput { query: format!("question of {id}"), ..RunInput::default() },
        messages: Vec::new(),
        answer: None,
        model: None,
        finish_reason: None,
        error: None,
        usage: Usage::default(),
        steps: 0,
    }
}

pub(crate) fn in_session(mut run: Run, session: &str) -> Run {
    run.session = Some(SessionId::parse(session).unwrap());
    run
}

pub(crate) fn record(run: Run) -> RunRecord {
    RunRecord::Run(Box::new(run))
}

pub(crate) fn event(run: &str, seq: u64, delta: String) -> RunRecord {
    let event = RunEvent { seq, at_ms: seq, kind: RunEventKind::Text { delta } };
    RunRecord::Event { run: run_id(run), event }
}

pub(crate) async fn append(journal: &Journal, records: Vec<RunRecord>) -> Result<(), Error> {
    journal.append(&Ctx::system(), records).await
}

/// Everything that was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    runs: BTreeMap<String, Run>,
    events: BTreeMap<(String, u64), RunEvent>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it is there.
    All,
    /// Some of it cannot be read, and the reads said so.
    Reported,
}

impl Acknowledged {
    pub(crate) fn note(&mut self, records: &[RunRecord]) {
        for record in records {
            match record {
                RunRecord::Run(run) => drop(self.runs.insert(run.id.to_string(), (**run).clone())),
                RunRecord::Event { run, event } => {
                    self.events.insert((run.to_string(), event.seq), event.clone());
                }
                RunRecord::SessionDeleted { .. } => unreachable!("these tests delete no session"),
            }
        }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Reads all of it. Panics where something is missing or different without an error.
    pub(crate) fn check(&self, journal: &Journal) -> Kept {
        wait(self.check_reads(journal))
    }

    async fn check_reads(&self, journal: &Journal) -> Kept {
        let ctx = Ctx::system();
        let mut kept = Kept::All;
        let mut reported = |error: Error| {
            assert_eq!(error.code(), &codes::JOURNAL_CORRUPT, "an unreadable part is reported as what it is");
            kept = Kept::Reported;
        };
        for (id, run) in &self.runs {
            match journal.run(&ctx, &run.id).await {
                Ok(found) => assert_eq!(found.as_ref(), Some(run), "the run {id} is lost or different"),
                Err(error) => reported(error),
            }
            let expect = self.events.range((id.clone(), 0)..=(id.clone(), u64::MAX)).map(|(_, event)| event);
            match events_of(journal, &run.id).await {
                Ok(found) => assert!(found.iter().eq(expect), "events of {id} are lost or different"),
                Err(error) => reported(error),
            }
        }
        kept
    }
}

/// All events of the run, page by page.
pub(crate) async fn events_of(journal: &Journal, id: &RunId) -> Result<Vec<RunEvent>, Error> {
    let mut events: Vec<RunEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page = journal.events(&Ctx::system(), id, after, usize::MAX).await?;
        events.extend(page.events);
        if !page.more {
            return Ok(events);
        }
    }
}

/// A small generator of the same numbers for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound.max(1)
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Copies a data folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a data folder, sorted, with its size.
pub(crate) fn files(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = path.metadata().unwrap().len();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}
