//! The journal as a whole: opened, counted, closed. What it keeps is `store`'s, what it drops is `trim`'s.

use mainstay_core::Result;

use crate::engine::Engine;
use crate::options::Options;
use crate::stats::Stats;
use crate::view::apply::Runs;

/// An open journal. Share it as `Arc<Journal>`: that is the `RunJournal`.
#[derive(Debug)]
pub struct Journal {
    pub(crate) engine: Engine,
    /// Appends that delete hold it shared; a trim holds it alone.
    pub(crate) deletions: tokio::sync::RwLock<()>,
    pub(crate) purging: tokio::sync::Mutex<()>,
}

impl Journal {
    /// Opens the journal in the folder, making it if absent: verifies the whole log, cuts a torn end off, brings the
    /// view up. Blocks; the time is that of reading the log once.
    ///
    /// Errors: `JOURNAL_LOCKED` (another process has it), `JOURNAL_CORRUPT` (damage: the message names file, offset
    /// and record, `internal()` is the full report), `JOURNAL_UNAVAILABLE` (the disk), `UNSUPPORTED` (a newer
    /// version wrote it).
    pub fn open(options: Options) -> Result<Self> {
        Ok(Self {
            engine: Engine::open(options, |blobs| Runs { bodies: blobs.clone() })?,
            deletions: tokio::sync::RwLock::new(()),
            purging: tokio::sync::Mutex::new(()),
        })
    }

    /// What the journal has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Writes what waits, brings the view up, and lets go of the folder; blocks for a few syncs. Appends and reads
    /// fail from here on. Idempotent; dropping the journal does the same.
    pub fn close(&self) {
        self.engine.close();
    }
}
