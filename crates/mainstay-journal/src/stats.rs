//! What the journal counts. It measures no time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::log::Lsn;

/// What the journal has done since it was opened, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Appends acknowledged.
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// Batches written (one write and one sync each).
    pub batches: u64,
    /// Syncs of the log: one a batch, three more when a segment is closed.
    pub fsyncs: u64,
    /// Bytes of records written to the log.
    pub bytes: u64,
    /// Appends refused because the queue was full.
    pub overloaded: u64,
    /// Blob files written.
    pub blobs: u64,
    /// Commits of the view (each syncs the view's file).
    pub view_commits: u64,
    /// Bytes of the log's files.
    pub log_bytes: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of records of runs that are kept: in the log, and in blobs.
    pub live_bytes: u64,
    /// The last durable record.
    pub durable_lsn: Lsn,
    /// The last record that the view shows.
    pub applied_lsn: Lsn,
    /// Bytes of a torn end that were cut off at the open.
    pub torn_bytes: u64,
    /// Whether the view was built anew at the open.
    pub view_rebuilt: bool,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) blobs: AtomicU64,
    pub(crate) view_commits: AtomicU64,
}

impl Counters {
    pub(crate) fn batch(&self, appends: usize, records: u64, bytes: usize) {
        self.appends.fetch_add(appends as u64, Relaxed);
        self.records.fetch_add(records, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sync(&self) {
        self.fsyncs.fetch_add(1, Relaxed);
    }

    /// The counted part of the stats.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            appends: self.appends.load(Relaxed),
            records: self.records.load(Relaxed),
            batches: self.batches.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            overloaded: self.overloaded.load(Relaxed),
            blobs: self.blobs.load(Relaxed),
            view_commits: self.view_commits.load(Relaxed),
            ..Stats::default()
        }
    }
}
