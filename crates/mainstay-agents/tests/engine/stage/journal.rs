//! A memory journal that can be held at a gate, filled up, or broken after so many appends, and that is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mainstay_core::journal::{
    EventPage, Purged, Retention, RunFilter, RunJournal, RunPage, RunRecord, SessionFilter,
};
use mainstay_core::run::{Run, Session};
use mainstay_core::{Ctx, Error, Result, Retry, RunId, SessionId, codes};
use mainstay_testkit::memory_journal::MemoryJournal;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A record from here on is a large value.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;

pub(crate) struct Watched {
    pub(crate) inner: Arc<MemoryJournal>,
    gate: Semaphore,
    /// Appends that were begun, kept or not.
    pub(crate) begun: AtomicUsize,
    /// Appends to be refused as too many before the next is taken.
    pub(crate) full_for: AtomicUsize,
    /// Appends with a value of [`LARGE_BYTES`] to be refused before the next is taken.
    pub(crate) no_room_for: AtomicUsize,
    /// Appends taken before the journal breaks.
    pub(crate) breaks_after: AtomicUsize,
    /// Pages of events that were read.
    pub(crate) reads: AtomicUsize,
    /// What to forget once the next page of runs has been read.
    pub(crate) forget_behind: Mutex<Option<Retention>>,
    /// Runs that were read in lists.
    pub(crate) runs_read: AtomicUsize,
    /// What was kept, append by append.
    pub(crate) kept: Mutex<Vec<Vec<RunRecord>>>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            begun: AtomicUsize::new(0),
            full_for: AtomicUsize::new(0),
            no_room_for: AtomicUsize::new(0),
            breaks_after: AtomicUsize::new(usize::MAX),
            reads: AtomicUsize::new(0),
            forget_behind: Mutex::default(),
            runs_read: AtomicUsize::new(0),
            kept: Mutex::default(),
        }
    }
}

impl Watched {
    /// Lets no append through from now on.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets so many appends through.
    pub(crate) fn let_through(&self, appends: usize) {
        self.gate.add_permits(appends);
    }

    /// Lets all appends through again.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// How many appends were kept.
    pub(crate) fn appends(&self) -> usize {
        self.kept.lock().len()
    }

    /// The same record in the hands of the next process.
    pub(crate) fn reopened(&self) -> Arc<Self> {
        Arc::new(Self { inner: self.inner.clone(), ..Self::default() })
    }

    fn take_one(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

fn broken() -> Error {
    Error::new(&codes::JOURNAL_UNAVAILABLE, "the record of runs cannot be written")
        .with_retry(Retry::Permanent)
}

fn is_large(record: &RunRecord) -> bool {
    serde_json::to_vec(record).unwrap().len() > LARGE_BYTES
}

#[async_trait]
impl RunJournal for Watched {
    async fn append(&self, ctx: &Ctx, records: Vec<RunRecord>) -> Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if Self::take_one(&self.full_for) {
            return Err(Error::new(&codes::OVERLOADED, "the journal's queue is full"));
        }
        self.gate.acquire().await.unwrap().forget();
        if records.iter().any(is_large) && Self::take_one(&self.no_room_for) {
            return Err(Error::new(&codes::JOURNAL_UNAVAILABLE, "a large value cannot be written"));
        }
        if !Self::take_one(&self.breaks_after) {
            return Err(broken());
        }
        self.inner.append(ctx, records.clone()).await?;
        self.kept.lock().push(records);
        Ok(())
    }

    async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Option<Run>> {
        self.inner.run(ctx, id).await
    }

    async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.events(ctx, id, after, limit).await
    }

    async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<RunPage> {
        let page = self.inner.runs(ctx, filter).await?;
        self.runs_read.fetch_add(page.runs.len(), Ordering::SeqCst);
        let forget = self.forget_behind.lock().take();
        if let Some(keep) = forget {
            self.inner.purge(ctx, keep).await?;
        }
        Ok(page)
    }

    async fn sessions(&self, ctx: &Ctx, filter: &SessionFilter) -> Result<Vec<Session>> {
        self.inner.sessions(ctx, filter).await
    }

    async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Option<Session>> {
        self.inner.session(ctx, id).await
    }

    async fn purge(&self, ctx: &Ctx, keep: Retention) -> Result<Purged> {
        self.inner.purge(ctx, keep).await
    }

    async fn probe(&self, ctx: &Ctx) -> Result<()> {
        if self.breaks_after.load(Ordering::SeqCst) == 0 {
            return Err(broken());
        }
        self.inner.probe(ctx).await
    }
}
