//! Folders, kept open: a name is durable once its folder is synced, and to open it then would need a descriptor that
//! may not be free.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::medium::Medium;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file: File,
}

impl Folder {
    /// Opens the folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path)? })
    }

    /// Makes the names in it durable. Never called again after an error.
    pub(crate) fn sync(&self, medium: &dyn Medium) -> io::Result<()> {
        medium.sync_folder(&self.file, &self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
