//! What every store of this crate stands on: a locked folder with a log, blobs and a view, opened, counted, closed.
//! What the records mean is the store's.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_core::{Error, Result, Retry};
use redb::Database;

use crate::blob::{Blobs, Large, Pins};
use crate::damage::Fault;
use crate::folder::{self, Folder};
use crate::lock::Lock;
use crate::log::mark::{self, Mark};
use crate::log::record::{Group, kind as log_kind};
use crate::log::recovery::{self, Witness};
use crate::log::{End, Idle, Log};
use crate::options::Options;
use crate::stats::{Counters, Stats};
use crate::view::bell::Bell;
use crate::view::file::{self, Said};
use crate::view::follow::{Follower, View};
use crate::view::{Tables, ViewError, query};
use crate::{reserve, view};

/// Records applied in one commit while the view catches up at the open.
const CATCH_UP_ROWS: u64 = 50_000;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) view: Arc<View>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) counters: Arc<Counters>,
    blob_writes: BlobWrites,
    torn_bytes: u64,
    view_rebuilt: bool,
    lock: Lock,
}

impl Engine {
    /// Opens the folder, making it if absent: verifies the whole log, cuts a torn end off, brings the view up. Blocks;
    /// the time is that of reading the log once. Errors: `JOURNAL_LOCKED`, `JOURNAL_CORRUPT`, `JOURNAL_UNAVAILABLE`,
    /// `UNSUPPORTED`.
    pub(crate) fn open<T: Tables>(options: Options, tables: impl Fn(&Arc<Blobs>) -> T) -> Result<Self> {
        let options = options.within_bounds();
        make_folders(&options).map_err(Fault::refuse_start)?;
        let lock = Lock::take(&options.folder)?;
        reserve::adjust(&options.folder, options.reserve_bytes);
        let view_path = options.folder.join("view.redb");
        let mark_path = options.folder.join("mark");
        let found = file::open(&view_path, options.view_cache_bytes, T::FORMAT);
        let said = found.as_ref().map(|(_, said)| *said);
        let idle =
            Idle::open(&options, &witnesses(&mark_path, said.as_ref())).map_err(Fault::refuse_start)?;

        let counters = Arc::new(Counters::default());
        let blobs =
            Blobs::open(options.folder.join("blobs"), counters.clone()).map_err(Fault::refuse_start)?;
        let blobs = Arc::new(blobs);
        let opening =
            Opening { options: &options, path: &view_path, idle: &idle, blobs: &blobs, counters: &counters };
        let (follower, view_rebuilt) = opening.view(found, &tables).map_err(ViewError::refuse_start)?;

        let durable = idle.published().durable_lsn();
        let mark = keep_mark(&options, &idle).map_err(Fault::refuse_start)?;
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
            blob_writes: BlobWrites::new(blobs.clone(), &options),
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

    /// What it has done and holds.
    pub(crate) fn stats(&self) -> Stats {
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

    /// Makes large values durable.
    pub(crate) async fn put(&self, large: Vec<Large>) -> Result<Pins> {
        self.blob_writes.put(large).await
    }

    /// Bytes of records in the log, living or not.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.log.published().used_bytes()
    }

    /// Drops segment `oldest`, of which nothing lives that has not been copied.
    pub(crate) async fn drop_copied(&self, oldest: u32) -> Result<()> {
        // The view must not refer to the segment any more, on its disk, before the file goes.
        self.view.caught_up().await?;
        drop_oldest(&self.log, &self.options, oldest).await
    }

    /// Writes what waits, brings the view up, and lets go of the folder. Idempotent.
    pub(crate) fn close(&self) {
        self.log.close();
        self.view.close();
        self.lock.release();
    }

    pub(crate) fn count_overload(&self, error: &Error) {
        if error.code() == &mainstay_core::codes::OVERLOADED {
            self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Notes that segment `oldest` is dropped, and drops it.
pub(crate) async fn drop_oldest(log: &Log, options: &Options, oldest: u32) -> Result<()> {
    log.append(&Group::of(log_kind::TRIMMED, &(oldest + 1).to_le_bytes()))?.await?;
    let (medium, folder) = (options.medium.clone(), options.log_folder());
    let published = log.published().clone();
    // In one piece, whatever becomes of the caller: a segment that is listed has its file.
    let removed = blocking(move || {
        recovery::remove(medium.as_ref(), &folder, oldest)?;
        published.forget_oldest();
        Ok(())
    });
    removed.await?.map_err(|cause| Fault::io(&options.folder)(cause).refuse_read())
}

/// Writes large values, so many at once.
#[derive(Debug)]
pub(crate) struct BlobWrites {
    blobs: Arc<Blobs>,
    permits: tokio::sync::Semaphore,
}

impl BlobWrites {
    pub(crate) fn new(blobs: Arc<Blobs>, options: &Options) -> Self {
        Self { blobs, permits: tokio::sync::Semaphore::new(options.blob_writes_max) }
    }

    /// Makes large values durable. What fails here has not reached the log, so that it can be tried again.
    pub(crate) async fn put(&self, large: Vec<Large>) -> Result<Pins> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|_| Error::bug("the semaphore is never closed"))?;
        let blobs = self.blobs.clone();
        let written = blocking(move || blobs.put(large)).await?;
        let refused = crate::damage::unavailable("a large value cannot be written")
            .with_help("free space on the disk of the data folder")
            .with_retry(Retry::Temporary(None));
        written.map_err(|cause| refused.with_internal(cause.to_string()).with_source(cause))
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::bug(format!("a read of the journal: {cause}")))
}

/// Dead bytes that are not worth a copy.
pub(crate) fn slack_bytes(segment_bytes: u64) -> u64 {
    const SLACK_BYTES_MIN: u64 = 64 * 1024;
    (segment_bytes / 16).max(SLACK_BYTES_MIN)
}

pub(crate) fn make_folders(options: &Options) -> Result<(), Fault> {
    let log = options.log_folder();
    folder::make(options.medium.as_ref(), &log).map_err(Fault::io(&log))
}

/// Opens the mark where the log stands, and makes the names in the folder durable.
pub(crate) fn keep_mark(options: &Options, idle: &Idle) -> Result<Mark, Fault> {
    let path = options.folder.join("mark");
    let medium = options.medium.as_ref();
    let durable = idle.published().durable_lsn();
    let mark = Mark::open(medium, &path, idle.journal(), durable).map_err(Fault::io(&path))?;
    let named = Folder::open(&options.folder).and_then(|folder| folder.sync(medium));
    named.map_err(Fault::io(&options.folder))?;
    Ok(mark)
}

pub(crate) fn witnesses(mark_path: &Path, view: Option<&Said>) -> Vec<Witness> {
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
    fn view<T: Tables>(
        &self,
        found: Option<(Database, Said)>,
        tables: &impl Fn(&Arc<Blobs>) -> T,
    ) -> Result<(Follower<T>, bool), ViewError> {
        let published = self.idle.published();
        let segments = published.segments();
        if let Some((database, said)) = found {
            if file::fits(&said, self.idle.journal(), &segments, published.durable_lsn()) {
                // Damage that the check could not see must not keep the journal from starting.
                let caught_up = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    self.catch_up(database, said.applied, tables(self.blobs))
                }));
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
        let (database, start) = file::create::<T>(self.path, cache, self.idle.journal(), &segments[0])?;
        let rebuilt = published.durable_lsn() >= segments[0].head.first_lsn;
        Ok((self.catch_up(database, start, tables(self.blobs))?, rebuilt))
    }

    fn catch_up<T: Tables>(
        &self,
        database: Database,
        applied: End,
        tables: T,
    ) -> Result<Follower<T>, ViewError> {
        let mut follower = Follower {
            tables,
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
        follower.tables.committed(&follower.database)?;
        follower.sweep_blobs()?;
        Ok(follower)
    }
}
