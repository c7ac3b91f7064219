//! The port through which the files that a spec names are read, and the disk behind it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Reads what a spec refers to outside itself, so that loading one is a pure function of what is handed in.
pub trait Files {
    /// The text of a file. The implementation bounds what it reads; the caller bounds what it takes.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// The paths of what stands directly in a folder, in no order. Bounded as [`Files::read`] is.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// What a variable stands for in the runtime's configuration; `None` where it stands for nothing.
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// The disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// Bytes read of one file.
const BYTES_MAX: u64 = 1024 * 1024;
/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 10_000;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut text = String::new();
        std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(io::Error::other(format!("larger than {BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder)?.take(ENTRIES_MAX);
        entries.map(|entry| entry.map(|entry| entry.path())).collect()
    }
}
