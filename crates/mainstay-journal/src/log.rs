//! The segmented append-only log: the one truth of a data folder.
//!
//! ```text
//! log/0000000001.seg   log/0000000002.seg            log/0000000003.seg (active)
//! ┌────┬────┬───┬───┐  ┌────┬────┬────┬─────┬───┐    ┌────┬────┬────┬─ ─ ─ ─ ─ ─ ┐
//! │head│ r1 │r2 │end│  │head│ r4 │ r5 │ r6  │end│    │head│ r8 │ r9 │ 0 0 0 0 0 0 │
//! └────┴────┴───┴───┘  └────┴────┴────┴─────┴───┘    └────┴────┴────┴─ ─ ─ ─ ─ ─ ┘
//!        chain: each record carries the checksum of the one before it, across segments
//! ```
//! Records are numbered without a gap (LSN, from 1). The records of one append form a group that is kept whole or not
//! at all. One thread drains everything that waits, writes it with one write, syncs once, and acknowledges.
//!
//! What is told apart at a start, and how:
//! - *A torn end*: a crash cut a write that was never acknowledged. Every record carries the highest LSN that was
//!   durable when its batch was written, so a bad record is unacknowledged unless a valid record or a witness (the
//!   mark beside the log, the view) says it was durable. It is cut off. Sectors of one unacknowledged batch may have
//!   reached the disk in any order; that alone is no damage.
//! - *Damage*: anything else. The start is refused.
//!
//! The one case that cannot be told apart: after a power cut (not a crash of the process), damage to the last
//! acknowledged batch itself, if the mark had not reached the disk and the view had not committed since (at most
//! 200 ms).
//!
//! The log knows nothing of runs; it does not index and does not compress.

pub(crate) mod mark;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod shelf;
pub(crate) mod walk;
pub(crate) mod writer;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::mark::Mark;
use self::queue::{Acknowledged, Queue};
use self::record::Group;
use self::recovery::{Recovered, Witness};
use self::writer::{DurableListener, Published, Writer};
use crate::damage::Fault;
use crate::folder::Folder;
use crate::options::Options;
use crate::stats::Counters;

/// The number of a record: 1 for the first, no gaps; 0 means none.
pub type Lsn = u64;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's number.
    pub(crate) segment: u32,
    /// Bytes from the segment's start to the record's header.
    pub(crate) offset: u32,
    /// Header and payload, without padding.
    pub(crate) bytes: u32,
}

/// An end of the log: everything up to here is durable, applied, or whatever the holder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The last record.
    pub(crate) lsn: Lsn,
    /// The segment it is in.
    pub(crate) segment: u32,
    /// Where the next record would begin.
    pub(crate) offset: u64,
}

/// The open log: takes appends in, and is followed by the view.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    published: Arc<Published>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An opened log that does not write yet.
#[derive(Debug)]
pub(crate) struct Idle {
    recovered: Recovered,
    published: Arc<Published>,
}

impl Idle {
    /// Verifies the log in `options`' folder, or makes one. Changes nothing but a torn end.
    pub(crate) fn open(options: &Options, witnesses: &[Witness]) -> Result<Self, Fault> {
        let folder = options.log_folder();
        let medium = options.medium.as_ref();
        let recovered = recovery::recover(medium, &folder, options.segment_bytes, witnesses)?;
        let published = Published::new(recovered.end, recovered.segments.clone());
        Ok(Self { recovered, published: Arc::new(published) })
    }

    /// The journal's id.
    pub(crate) fn journal(&self) -> u64 {
        self.recovered.head.journal
    }

    pub(crate) fn torn_bytes(&self) -> u64 {
        self.recovered.torn_bytes
    }

    pub(crate) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Starts the log thread.
    pub(crate) fn start(
        self,
        options: &Options,
        mark: Mark,
        counters: Arc<Counters>,
        on_durable: Arc<dyn DurableListener>,
    ) -> io::Result<Log> {
        let Recovered { chain, end, file, head, segments, .. } = self.recovered;
        let queue = Arc::new(Queue::new(options.queue_bytes_max, options.queue_appends_max));
        let folder = Folder::open(&options.log_folder())?;
        let writer = Writer {
            medium: options.medium.clone(),
            folder,
            segment_bytes: options.segment_bytes,
            queue: queue.clone(),
            published: self.published.clone(),
            counters,
            mark,
            chain,
            file,
            head,
            at: end.offset,
            zeroed: segments.last().map_or(end.offset, |active| active.bytes),
            on_durable,
        };
        let thread =
            std::thread::Builder::new().name("journal-log".to_owned()).spawn(move || writer.run())?;
        Ok(Log { queue, published: self.published, thread: Mutex::new(Some(thread)) })
    }
}

impl Log {
    /// Keeps the group; the future ends when it is durable. Errors: `OVERLOADED`, `JOURNAL_UNAVAILABLE`.
    pub(crate) fn append(&self, group: &Group) -> mainstay_core::Result<Acknowledged> {
        self.queue.submit(group)
    }

    /// Closes the active segment; the future ends when the next is open.
    pub(crate) fn rotate(&self) -> mainstay_core::Result<Acknowledged> {
        self.queue.submit_rotation()
    }

    pub(crate) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Batches up to this number are durable.
    pub(crate) fn durable_batch(&self) -> u64 {
        self.queue.durable()
    }

    /// Ends when the batch of an earlier append is durable.
    pub(crate) fn follow(&self, batch: u64) -> Acknowledged {
        self.queue.follow(batch)
    }

    /// Ends acknowledging for good, for a reason outside the log.
    pub(crate) fn breaker(&self) -> impl FnOnce(&str) + Send + 'static {
        let queue = self.queue.clone();
        move |why| queue.fail(why)
    }

    /// Takes nothing more in, writes what waits, and ends the thread. Idempotent.
    pub(crate) fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's log thread had panicked");
        }
    }
}
