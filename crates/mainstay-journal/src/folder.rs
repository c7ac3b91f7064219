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

/// Makes the folder and those above it that are missing, each durable in the one above it: without its name, all that
/// is in it would be gone with the power.
pub(crate) fn make(medium: &dyn Medium, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    if above != path {
        make(medium, above)?;
    }
    match std::fs::create_dir(path) {
        // Another process was quicker; which of the two may go on is the lock's affair.
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        outcome => outcome?,
    }
    Folder::open(above)?.sync(medium)
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
