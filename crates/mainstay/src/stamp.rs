//! How a file looks from outside, so that a change can be noticed without reading it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, and when it was written and how long it was; `None` while it cannot be seen.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    file: PathBuf,
    state: Option<(SystemTime, u64)>,
}

impl Stamp {
    /// The file as it is now.
    pub(crate) fn of(file: PathBuf) -> Self {
        let state = state(&file);
        Self { file, state }
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Whether the file still looks as it did.
    pub(crate) fn holds(&self) -> bool {
        state(&self.file) == self.state
    }

    /// Whether two looks at a file saw the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.file == other.file && self.state == other.state
    }

    /// Takes the file as it is now.
    pub(crate) fn renew(&mut self) {
        self.state = state(&self.file);
    }
}

/// Follows symbolic links, so that a swapped link shows as a change.
fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
