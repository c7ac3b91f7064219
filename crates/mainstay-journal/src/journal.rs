//! The journal as a whole: opened, counted, closed. What it keeps is `store`'s, what it drops is `trim`'s.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_core::Result;
use redb::Database;

use crate::blob::Blobs;
use crate::damage::Fault;
use crate::folder::{self, Folder};
use crate::lock::Lock;
use crate::log::mark::{self, Mark};
use crate::log::recovery::Witness;
use crate::log::{End, Idle, Log};
use crate::options::Options;
use crate::stats::{Counters, Stats};
use crate::view::file::{self, Said};
use crate::view::follow::{Bell, Follower, View};
use crate::view::{ViewError, query};
use crate::{reserve, view};

/// Records applied in one commit while the view catches up at the open.
const CATCH_UP_ROWS: u64 = 50_000;

/// An open journal. Share it as `Arc<Journal>`: that is the `RunJournal`.
#[derive(Debug)]
pub struct Journal {
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) view: Arc<View>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) counters: Arc<Counters>,
    /// Appends that delete hold it shared; a trim holds it alone.
    pub(crate) deletions: tokio::sync::RwLock<()>,
    pub(crate) purging: tokio::sync::Mutex<()>,
    pub(crate) blob_writes: tokio::sync::Semaphore,
    torn_bytes: u64,
    view_rebuilt: bool,
    lock: Lock,
}

impl Journal {
    /// Opens the journal in the folder, making it if absent: verifies the whole log, cuts a torn end off, brings the
    /// view up. Blocks; the time is that of reading the log once.
    ///
    /// Errors: `JOURNAL_LOCKED` (another process has it), `JOURNAL_CORRUPT` (damage: the message names file, offset
    /// and record, `internal()` is the full report), `JOURNAL_UNAVAILABLE` (the disk), `UNSUPPORTED` (a newer
    /// version wrote it).
    pub fn open(options: Options) -> Result<Self> {
        let options = options.within_bounds();
        make_folders(&options).map_err(Fault::refuse_start)?;
        let lock = Lock::take(&options.folder)?;
        reserve::adjust(&options.folder, options.reserve_bytes);
        let view_path = options.folder.join("view.redb");
        let mark_path = options.folder.join("mark");
        let found = file::open(&view_path, options.view_cache_bytes);
        let said = found.as_ref().map(|(_, said)| *said);
        let idle =
            Idle::open(&options, &witnesses(&mark_path, said.as_ref())).map_err(Fault::refuse_start)?;

        let counters = Arc::new(Counters::default());
        let blobs =
            Blobs::open(options.folder.join("blobs"), counters.clone()).map_err(Fault::refuse_start)?;
        let blobs = Arc::new(blobs);
        let opening =
            Opening { options: &options, path: &view_path, idle: &idle, blobs: &blobs, counters: &counters };
        let (follower, view_rebuilt) = opening.view(found).map_err(ViewError::refuse_start)?;

        let medium = options.medium.as_ref();
        let durable = idle.published().durable_lsn();
        let mark = Mark::open(medium, &mark_path, idle.journal(), durable).map_err(Fault::io(&mark_path));
        let mark = mark.map_err(Fault::refuse_start)?;
        let named = Folder::open(&options.folder).and_then(|folder| folder.sync(medium));
        named.map_err(|cause| Fault::io(&options.folder)(cause).refuse_start())?;

        let torn_bytes = idle.torn_bytes();
        let published = idle.published().clone();
        let bell = Arc::new(Bell::new(options.view_rows_max, options.view_delay, durable));
        let threads = || -> std::io::Result<(Log, View)> {
            let log = idle.start(&options, mark, counters.clone(), bell.clone())?;
            // A view that cannot go on ends the writes too: readiness then fails, and the restart heals it.
            let view = View::start(follower, published, bell, log.breaker())?;
            Ok((log, view))
        };
        let (log, view) = threads().map_err(|e| Fault::io(&options.folder)(e).refuse_start())?;
        Ok(Self {
            deletions: tokio::sync::RwLock::new(()),
            purging: tokio::sync::Mutex::new(()),
            blob_writes: tokio::sync::Semaphore::new(options.blob_writes_max),
            view: Arc::new(view),
            log,
            blobs,
            counters,
            torn_bytes,
            view_rebuilt,
            lock,
            options,
        })
    }

    /// What the journal has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let published = self.log.published();
        let weight = self.view.read().and_then(|read| query::weight(&read));
        Stats {
            log_bytes: published.log_bytes(),
            segments: published.segments().len() as u64,
            live_bytes: weight.map_or(0, view::table::Weight::total),
            durable_lsn: published.durable_lsn(),
            applied_lsn: self.view.applied_lsn(),
            torn_bytes: self.torn_bytes,
            view_rebuilt: self.view_rebuilt,
            ..self.counters.read()
        }
    }

    /// Writes what waits, brings the view up, and lets go of the folder; blocks for a few syncs. Appends and reads
    /// fail from here on. Idempotent; dropping the journal does the same.
    pub fn close(&self) {
        self.log.close();
        self.view.close();
        self.lock.release();
    }

    pub(crate) fn count_overload(&self, error: &mainstay_core::Error) {
        if error.code() == &mainstay_core::codes::OVERLOADED {
            self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn make_folders(options: &Options) -> Result<(), Fault> {
    let log = options.log_folder();
    folder::make(options.medium.as_ref(), &log).map_err(Fault::io(&log))
}

fn witnesses(mark_path: &Path, view: Option<&Said>) -> Vec<Witness> {
    let mark = mark::read(mark_path).map(|(journal, lsn)| Witness { name: "the file `mark`", journal, lsn });
    let view = view.map(|said| Witness {
        name: "the file `view.redb`",
        journal: said.journal,
        lsn: said.applied.lsn,
    });
    mark.into_iter().chain(view).collect()
}

/// What bringing the view up needs.
struct Opening<'a> {
    options: &'a Options,
    path: &'a Path,
    idle: &'a Idle,
    blobs: &'a Arc<Blobs>,
    counters: &'a Arc<Counters>,
}

impl Opening<'_> {
    /// The view, caught up with the log: the one found if it can be, else a new one.
    fn view(&self, found: Option<(Database, Said)>) -> Result<(Follower, bool), ViewError> {
        let published = self.idle.published();
        let segments = published.segments();
        if let Some((database, said)) = found {
            if file::fits(&said, self.idle.journal(), &segments, published.durable_lsn()) {
                // Damage that the check could not see must not keep the journal from starting.
                let caught_up =
                    std::panic::catch_unwind(AssertUnwindSafe(|| self.catch_up(database, said.applied)));
                match caught_up {
                    Ok(Ok(follower)) => return Ok((follower, false)),
                    Ok(Err(ViewError::Store(cause))) => {
                        tracing::warn!(%cause, "the journal's view is built anew")
                    }
                    Ok(Err(other)) => return Err(other),
                    Err(_) => {
                        tracing::warn!("a page of the journal's view contradicts itself; it is built anew")
                    }
                }
            } else {
                tracing::warn!("the journal's view does not fit its log and is built anew");
            }
        }
        let cache = self.options.view_cache_bytes;
        let (database, start) = file::create(self.path, cache, self.idle.journal(), &segments[0])?;
        let rebuilt = published.durable_lsn() >= segments[0].head.first_lsn;
        Ok((self.catch_up(database, start)?, rebuilt))
    }

    fn catch_up(&self, database: Database, applied: End) -> Result<Follower, ViewError> {
        let mut follower = Follower {
            database: Arc::new(database),
            folder: self.options.log_folder(),
            blobs: self.blobs.clone(),
            counters: self.counters.clone(),
            applied,
            followed: None,
        };
        let target = self.idle.published().durable();
        while follower.applied.lsn < target.lsn {
            follower.advance(target, CATCH_UP_ROWS)?;
        }
        follower.sweep_blobs()?;
        Ok(follower)
    }
}
