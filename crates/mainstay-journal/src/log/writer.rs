//! The log thread: drain everything that waits, one write, one sync, acknowledge; and again.
//!
//! The previous sync is the batching window; there is no timer. The first error of a write or sync ends
//! acknowledging for good: after a failed sync nobody knows what is on the disk, so it is never retried.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::mark::Mark;
use super::queue::{Batch, Queue};
use super::record::{Chain, Group, kind};
use super::segment::{self, HEAD_BYTES, Head};
use super::{End, Lsn};
use crate::folder::Folder;
use crate::medium::Medium;
use crate::patience::{self, Patience};
use crate::stats::Counters;

/// On a slow disk a thin batch waits this long for company.
const LINGER: Duration = Duration::from_micros(200);
const SLOW_SYNC: Duration = Duration::from_millis(2);
const THIN_BATCH: usize = 8;

/// A segment that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) head: Head,
    /// Its file's size.
    pub(crate) bytes: u64,
}

/// What the log thread tells everyone else.
#[derive(Debug)]
pub(crate) struct Published {
    durable_lsn: AtomicU64,
    state: Mutex<(End, Vec<Segment>)>,
}

impl Published {
    pub(crate) fn new(end: End, segments: Vec<Segment>) -> Self {
        Self { durable_lsn: AtomicU64::new(end.lsn), state: Mutex::new((end, segments)) }
    }

    /// The last durable record.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable_lsn.load(Ordering::Acquire)
    }

    /// Where the durable part of the log ends.
    pub(crate) fn durable(&self) -> End {
        self.state.lock().0
    }

    /// The segments, oldest first; the last is active.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        self.state.lock().1.clone()
    }

    /// Bytes of all segment files.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.state.lock().1.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes of records in the log, living or not.
    pub(crate) fn used_bytes(&self) -> u64 {
        let state = self.state.lock();
        let closed = state.1.iter().rev().skip(1).map(|segment| segment.bytes - HEAD_BYTES);
        closed.sum::<u64>() + state.0.offset - HEAD_BYTES
    }

    /// The oldest segment is gone.
    pub(crate) fn forget_oldest(&self) {
        self.state.lock().1.remove(0);
    }
}

/// The thread's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) folder: Folder,
    pub(crate) segment_bytes: u64,
    pub(crate) queue: Arc<Queue>,
    pub(crate) published: Arc<Published>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mark: Mark,
    pub(crate) chain: Chain,
    pub(crate) file: File,
    pub(crate) head: Head,
    /// Where the next record goes.
    pub(crate) at: u64,
    /// The file is filled with zeros up to here.
    pub(crate) zeroed: u64,
    pub(crate) on_durable: Arc<dyn DurableListener>,
}

/// Is told, on the log thread, that more became durable; must not block.
pub(crate) trait DurableListener: Send + Sync + std::fmt::Debug {
    /// Everything up to `lsn` is durable.
    fn durable(&self, lsn: Lsn);

    /// The batch is durable and lies in `segment` from `offset` on; told before its appends are acknowledged.
    fn batch(&self, number: u64, segment: u32, offset: u64) {
        let _ = (number, segment, offset);
    }
}

impl Writer {
    /// Works until the queue is closed and drained, or until the disk fails.
    pub(crate) fn run(mut self) {
        let _guard = FailOnPanic(self.queue.clone());
        let mut spare = Batch::default();
        let mut slow = false;
        loop {
            if slow && (1..THIN_BATCH).contains(&self.queue.waiting()) {
                self.queue.linger(LINGER);
            }
            let Some(mut batch) = self.queue.take(spare) else { break };
            let started = Instant::now();
            if let Err(cause) = self.keep(&mut batch) {
                return self.fail(&cause);
            }
            slow = started.elapsed() > SLOW_SYNC;
            self.queue.acknowledge(&mut batch);
            spare = batch;
        }
        if let Err(cause) = self.mark.sync(self.medium.as_ref()) {
            tracing::warn!(%cause, "the journal's mark could not be synced at the close");
        }
    }

    fn keep(&mut self, batch: &mut Batch) -> io::Result<()> {
        if !batch.bytes.is_empty() {
            if self.at > HEAD_BYTES && self.at + batch.bytes.len() as u64 > self.segment_bytes {
                self.rotate()?;
            }
            let place = (self.head.number, self.at);
            self.write(&mut batch.bytes)?;
            self.on_durable.batch(batch.number, place.0, place.1);
            self.counters.batch(batch.appends, batch.records, batch.bytes.len());
        }
        if batch.rotate && self.at > HEAD_BYTES {
            self.rotate()?;
        }
        Ok(())
    }

    /// Writes and syncs `bytes`, and publishes them as durable.
    fn write(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let path = segment::path(self.folder.path(), self.head.number);
        self.chain.stamp(bytes, self.head.seed(), self.published.durable_lsn());
        let end = self.at + bytes.len() as u64;
        if end > self.zeroed {
            let to = end.max((self.zeroed + self.segment_bytes / 16).min(self.segment_bytes));
            segment::write_zeros(self.medium.as_ref(), &self.file, &path, self.zeroed.max(end), to)?;
            self.zeroed = to;
        }
        self.medium.write_at(&self.file, &path, bytes, self.at)?;
        self.sync(&path)?;
        self.at = end;
        self.mark.write(self.medium.as_ref(), self.chain.lsn)?;
        self.publish();
        Ok(())
    }

    fn sync(&self, path: &std::path::Path) -> io::Result<()> {
        self.counters.sync();
        self.medium.sync(&self.file, path)
    }

    fn publish(&self) {
        let mut state = self.published.state.lock();
        state.0 = End { lsn: self.chain.lsn, segment: self.head.number, offset: self.at };
        if let Some(active) = state.1.last_mut() {
            active.bytes = self.zeroed;
        }
        drop(state);
        self.published.durable_lsn.store(self.chain.lsn, Ordering::Release);
        self.on_durable.durable(self.chain.lsn);
    }

    /// Closes the active segment and opens the next. The end record is durable before the next file exists, so a
    /// segment without one is either the last or damaged.
    fn rotate(&mut self) -> io::Result<()> {
        let mut end = Group::of(kind::SEGMENT_END, &[]).bytes().to_vec();
        self.write(&mut end)?;
        let path = segment::path(self.folder.path(), self.head.number);
        self.medium.set_len(&self.file, &path, self.at)?;
        self.zeroed = self.at;
        self.publish();
        let head = next_head(&self.head, self.chain);
        let blank = self.segment_bytes / 16;
        self.file = self.open_next(head.number)?;
        segment::create(self.medium.as_ref(), &self.folder, &self.file, head, blank)?;
        self.counters.sync();
        self.counters.sync();
        (self.head, self.at, self.zeroed) = (head, HEAD_BYTES, HEAD_BYTES + blank);
        self.published.state.lock().1.push(Segment { head, bytes: self.zeroed });
        Ok(())
    }

    /// Opens the next segment's file. Nothing of it is written yet, so want of a descriptor is waited out, unless the
    /// queue is closing; what is appended meanwhile waits, or is refused as too much.
    fn open_next(&self, number: u32) -> io::Result<File> {
        let mut patience = Patience::new();
        loop {
            match segment::open_new(&self.folder, number) {
                Err(cause) if patience::passes(&cause) && !self.queue.is_stopped() => {
                    if patience.is_fresh() {
                        tracing::warn!(%cause, segment = number, "the journal waits to open its next segment");
                    }
                    self.queue.linger(patience.pause());
                }
                outcome => return outcome,
            }
        }
    }

    fn fail(&self, cause: &io::Error) {
        tracing::error!(%cause, segment = self.head.number, offset = self.at, lsn = self.chain.lsn,
            "the journal's disk failed: nothing more is acknowledged until a restart");
        let place = format!("segment {} at byte {}: {cause}", self.head.number, self.at);
        self.queue.fail(&place);
    }
}

/// A fault of ours must not leave appends waiting for ever.
struct FailOnPanic(Arc<Queue>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the log thread panicked");
        }
    }
}

/// The head of the segment that follows `head` when the chain stands at `chain`.
pub(crate) fn next_head(head: &Head, chain: Chain) -> Head {
    Head { journal: head.journal, number: head.number + 1, first_lsn: chain.lsn + 1, prev: chain.crc }
}
