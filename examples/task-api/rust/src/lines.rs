//! A file of JSON lines that only grows, with one line for each id.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The file and the ids that stand in it.
pub struct Lines {
    path: PathBuf,
    ids: Mutex<HashSet<String>>,
}

impl Lines {
    /// Reads what is there; `id` finds a line's id. A line that was cut does not count: its event comes again.
    pub fn open(path: impl Into<PathBuf>, id: fn(&Value) -> &str) -> io::Result<Self> {
        let path = path.into();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = if path.exists() { std::fs::read(&path)? } else { Vec::new() };
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ids = lines.map(|line| id(&line).to_owned()).collect();
        Ok(Self { path, ids: Mutex::new(ids) })
    }

    /// Adds a line, if its id is new, and returns when it is on the disk; whether it was new. The folder must be there.
    pub fn add(&self, id: &str, line: &Value) -> io::Result<bool> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.contains(id) {
            return Ok(false);
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        let begin = if is_cut(&mut file)? { "\n" } else { "" };
        file.write_all(format!("{begin}{line}\n").as_bytes())?;
        file.sync_data()?;
        ids.insert(id.to_owned());
        Ok(true)
    }

    /// How many lines there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Whether the last line has no end: a crash or a full disk has cut it.
fn is_cut(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
