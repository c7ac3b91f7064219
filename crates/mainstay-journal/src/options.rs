//! What a journal is opened with. It reads no environment and no file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::medium::{Disk, Medium};

const MIB: u64 = 1024 * 1024;

/// The bounds of a journal. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; made if absent. One process at a time may have it open.
    pub folder: PathBuf,
    /// A segment of the log is closed at this size (64 MiB; 64 KiB to 1 GiB).
    pub segment_bytes: u64,
    /// Bytes that may wait for the log thread; beyond it appends are refused with `OVERLOADED` (16 MiB). Also the
    /// size of the largest append.
    pub queue_bytes_max: usize,
    /// Appends that may wait for the log thread; beyond it they are refused with `OVERLOADED` (65,536).
    pub queue_appends_max: usize,
    /// A record's body beyond this many bytes goes to a blob file (64 KiB).
    pub inline_bytes_max: usize,
    /// Blob files that may be written at once; further appends with large values wait (16).
    pub blob_writes_max: usize,
    /// Memory for pages of the view (8 MiB).
    pub view_cache_bytes: usize,
    /// The view commits after this many records (5,000).
    pub view_rows_max: u64,
    /// The view commits after this long (200 ms), or as soon as a reader waits.
    pub view_delay: Duration,
    /// Disk space held back so that a start and a purge succeed on a full disk (64 MiB; 0 for none).
    pub reserve_bytes: u64,
    /// The disk of the log.
    pub medium: Arc<dyn Medium>,
}

impl Options {
    /// The defaults for `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes: 64 * MIB,
            queue_bytes_max: 16 * 1024 * 1024,
            queue_appends_max: 65_536,
            inline_bytes_max: 64 * 1024,
            blob_writes_max: 16,
            view_cache_bytes: 8 * 1024 * 1024,
            view_rows_max: 5_000,
            view_delay: Duration::from_millis(200),
            reserve_bytes: 64 * MIB,
            medium: Arc::new(Disk),
        }
    }

    /// Brings every bound into the range that the format can hold (offsets in a segment are 32 bits).
    pub(crate) fn within_bounds(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(64 * 1024, 1024 * MIB);
        self.queue_bytes_max = self.queue_bytes_max.clamp(64 * 1024, 1024 * 1024 * 1024);
        self.queue_appends_max = self.queue_appends_max.max(1);
        self.inline_bytes_max = self.inline_bytes_max.min(self.queue_bytes_max / 2);
        self.blob_writes_max = self.blob_writes_max.max(1);
        self.view_rows_max = self.view_rows_max.max(1);
        self
    }

    pub(crate) fn log_folder(&self) -> PathBuf {
        self.folder.join("log")
    }
}
