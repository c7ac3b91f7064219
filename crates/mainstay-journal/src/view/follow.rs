//! The view's thread: follows the log, and commits when there is enough, when it is time, or when a reader waits.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use mainstay_core::Result;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::watch;

use super::bell::Bell;
use super::query;
use super::{Apply, BlobChanges, Tables, ViewError};
use crate::blob::Blobs;
use crate::damage::{Damage, Fault, unavailable};
use crate::log::record::kind;
use crate::log::segment::{HEAD_BYTES, Head};
use crate::log::walk::{self, Step, Walk};
use crate::log::writer::Published;
use crate::log::{End, Lsn};
use crate::patience::Patience;
use crate::stats::Counters;

/// The open view and the thread that keeps it up.
#[derive(Debug)]
pub(crate) struct View {
    /// None once closed: a reader that is still at work keeps the file open a little longer.
    database: RwLock<Option<Arc<Database>>>,
    published: Arc<Published>,
    bell: Arc<Bell>,
    progress: watch::Receiver<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How far the view is.
#[derive(Clone, Debug)]
struct Progress {
    applied: Lsn,
    /// Why it has not moved for a while; it goes on by itself.
    held_up: Option<Arc<str>>,
    /// Why it will not move any more.
    failed: Option<Arc<str>>,
}

impl Progress {
    /// Why there is no waiting for it.
    fn why_not(&self) -> Option<&str> {
        self.failed.as_deref().or(self.held_up.as_deref())
    }
}

/// What the thread works with; also used before there is a thread, to catch up.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    pub(crate) tables: T,
    pub(crate) database: Arc<Database>,
    pub(crate) folder: PathBuf,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) applied: End,
    /// The segment read last: kept open, so that a commit needs no free descriptor.
    pub(crate) followed: Option<Followed>,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Followed {
    file: File,
    path: PathBuf,
    head: Head,
}

impl<T: Tables> Follower<T> {
    /// Applies at least one append, and about `rows_max` records, of what is durable at `target`.
    pub(crate) fn advance(&mut self, target: End, rows_max: u64) -> Result<(), ViewError> {
        if self.applied.lsn >= target.lsn {
            return Ok(());
        }
        let write = self.database.begin_write()?;
        let mut reading = Reading { folder: &self.folder, followed: &mut self.followed, at: self.applied };
        let mut apply = self.tables.begin(&write)?;
        reading.feed(&mut apply, target, rows_max)?;
        let end = reading.at;
        let changes = apply.finish(end)?;
        write.commit()?;
        self.tables.committed(&self.database)?;
        self.counters.view_commits.fetch_add(1, Ordering::Relaxed);
        self.applied = end;
        self.settle_blobs(&changes)
    }

    fn settle_blobs(&self, changes: &BlobChanges) -> Result<(), ViewError> {
        changes.arrived.iter().for_each(|hash| self.blobs.unpin(hash));
        changes.released.iter().try_for_each(|hash| collect(&self.blobs, &self.database, hash))
    }

    /// Removes every blob that nothing refers to.
    pub(crate) fn sweep_blobs(&self) -> Result<(), ViewError> {
        sweep(&self.blobs, &self.database)
    }

    fn run(
        &mut self,
        published: &Published,
        bell: &Bell,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), ViewError> {
        let mut patience = Patience::new();
        while bell.wait() {
            match self.advance(published.durable(), bell.rows_max()) {
                // Nothing was committed: the same attempt can be made again.
                Err(ViewError::Log(fault)) if fault.passes() => {
                    if patience.is_fresh() {
                        tracing::warn!(%fault, "the journal's view waits to read the log");
                    }
                    if patience.is_worn() {
                        progress.send_modify(|progress| progress.held_up = Some(fault.to_string().into()));
                    }
                    if !bell.pause(patience.pause()) {
                        return Err(fault.into());
                    }
                }
                outcome => {
                    outcome?;
                    patience = Patience::new();
                    bell.applied(self.applied.lsn);
                    progress.send_modify(|progress| {
                        (progress.applied, progress.held_up) = (self.applied.lsn, None);
                    });
                }
            }
        }
        Ok(())
    }
}

/// A follower's way through the log.
struct Reading<'a> {
    folder: &'a Path,
    followed: &'a mut Option<Followed>,
    at: End,
}

impl Reading<'_> {
    /// Gives `apply` at least one append, and about `rows_max` records, up to `target`.
    fn feed(&mut self, apply: &mut impl Apply, target: End, rows_max: u64) -> Result<(), ViewError> {
        let mut at = self.at;
        let mut rows = 0;
        while at.lsn < target.lsn {
            let Followed { file, path, head } = self.segment(at)?;
            let damaged = |offset, after, fault: &str| {
                Fault::from(Damage::new(path, offset, after + 1, fault, "it was acknowledged"))
            };
            let until = if at.segment == target.segment {
                target.offset
            } else {
                file.metadata().map_err(Fault::io(path))?.len()
            };
            let mut walk = Walk::new(file, head, at.offset, until);
            while at.lsn < target.lsn {
                let offset = walk.position();
                let record = match walk.step().map_err(Fault::io(path))? {
                    Step::Record(record) => record,
                    Step::Blank => {
                        return Err(damaged(offset, at.lsn, "zeros where a record should be").into());
                    }
                    Step::Bad(fault) => return Err(damaged(offset, at.lsn, fault).into()),
                };
                apply.record(&record)?;
                let (header, next) = (record.header, walk.position());
                rows += 1;
                at = End { lsn: header.lsn, segment: head.number, offset: next };
                if header.kind == kind::SEGMENT_END {
                    at = End { lsn: header.lsn, segment: head.number + 1, offset: HEAD_BYTES };
                    break;
                }
                if header.last && rows >= rows_max {
                    self.at = at;
                    return Ok(());
                }
            }
        }
        self.at = at;
        Ok(())
    }

    /// The segment of `at`, opened unless it is the one followed already.
    fn segment(&mut self, at: End) -> Result<&Followed, Fault> {
        let known = self.followed.take().filter(|followed| followed.head.number == at.segment);
        let followed = match known {
            Some(followed) => followed,
            None => {
                let (file, path, _, head) = walk::open(self.folder, at.segment)?;
                let fault = "the segment's head is damaged";
                let damage = || Damage::new(&path, 0, at.lsn + 1, fault, "it was acknowledged");
                let head = head.ok_or_else(damage)?;
                Followed { file, path, head }
            }
        };
        Ok(self.followed.insert(followed))
    }
}

fn collect(blobs: &Blobs, database: &Database, hash: &crate::blob::Hash) -> Result<(), ViewError> {
    blobs.collect(hash, || query::refers_to(&database.begin_read()?, hash))
}

fn sweep(blobs: &Blobs, database: &Database) -> Result<(), ViewError> {
    let hashes = blobs.list().map_err(|cause| Fault::Io { path: "blobs".into(), cause })?;
    hashes.iter().try_for_each(|hash| collect(blobs, database, hash))
}

impl View {
    /// Starts the thread. `on_failure` is told why, should the view ever be unable to go on.
    pub(crate) fn start(
        follower: Follower<impl Tables>,
        published: Arc<Published>,
        bell: Arc<Bell>,
        on_failure: impl FnOnce(&str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let database = RwLock::new(Some(follower.database.clone()));
        let (sender, progress) =
            watch::channel(Progress { applied: follower.applied.lsn, held_up: None, failed: None });
        let thread = std::thread::Builder::new().name("journal-view".to_owned()).spawn({
            let (published, bell) = (published.clone(), bell.clone());
            move || {
                let mut follower = follower;
                let ran =
                    std::panic::catch_unwind(AssertUnwindSafe(|| follower.run(&published, &bell, &sender)));
                follower.tables.close();
                let why = match ran {
                    Ok(Ok(())) => "the record of runs is closed".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "the view's thread panicked".to_owned(),
                };
                if !bell.is_stopped() {
                    tracing::error!(%why, "the journal's view has stopped: a restart builds it anew");
                    on_failure(&why);
                }
                sender.send_modify(|progress| progress.failed = Some(why.into()));
            }
        })?;
        Ok(Self { database, published, bell, progress, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until the view shows everything that is durable now. Errors: `JOURNAL_UNAVAILABLE`.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        let target = self.published.durable_lsn();
        let mut progress = self.progress.clone();
        if progress.borrow().applied < target {
            self.bell.want(target);
        }
        let seen = progress.wait_for(|progress| progress.applied >= target || progress.why_not().is_some());
        match seen.await {
            Ok(seen) if seen.applied >= target && seen.failed.is_none() => Ok(()),
            Ok(seen) => {
                let why = seen.why_not().unwrap_or_default();
                Err(unavailable("the record of runs cannot be read").with_internal(why))
            }
            Err(_) => Err(unavailable("the record of runs is closed")),
        }
    }

    /// The last record shown.
    pub(crate) fn applied_lsn(&self) -> Lsn {
        self.progress.borrow().applied
    }

    /// One commit's state.
    pub(crate) fn read(&self) -> Result<ReadTransaction, ViewError> {
        Ok(self.database()?.begin_read()?)
    }

    /// Removes every blob that nothing refers to. Blocks.
    pub(crate) fn sweep_blobs(&self, blobs: &Blobs) -> Result<(), ViewError> {
        sweep(blobs, &*self.database()?)
    }

    fn database(&self) -> Result<Arc<Database>, ViewError> {
        self.database.read().clone().ok_or(ViewError::Closed)
    }

    /// Applies what is durable, ends the thread, closes the file. Idempotent.
    pub(crate) fn close(&self) {
        self.bell.stop();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's view thread had panicked");
        }
        *self.database.write() = None;
    }
}
