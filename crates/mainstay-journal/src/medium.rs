//! How the log reaches its disk: a seam for tests (failing, torn and slow disks) and nothing else.
//!
//! Reads do not pass here, nor do the view and the blobs: they are checked or rebuilt, never trusted.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The writes and syncs of the log. The defaults are the real thing; a test overrides what it wants to break.
pub trait Medium: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset` of the open `file`, whose path is `path`.
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _ = path;
        file.write_all_at(bytes, offset)
    }

    /// Makes everything written to `file` durable, its length included. Never called again after an error.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        let _ = path;
        file.sync_data()
    }

    /// Sets the length of `file`.
    fn set_len(&self, file: &File, path: &Path, bytes: u64) -> io::Result<()> {
        let _ = path;
        file.set_len(bytes)
    }

    /// Makes the names in the open `folder`, whose path is `path`, durable. Never called again after an error.
    fn sync_folder(&self, folder: &File, path: &Path) -> io::Result<()> {
        let _ = path;
        folder.sync_all()
    }
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Medium for Disk {}
