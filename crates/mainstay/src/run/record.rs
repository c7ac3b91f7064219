//! What runs on this host: a file for each app that `run` has started, in the runtime folder, locked for as long as its
//! process lives. So a record is never believed of a process that is gone, whatever its id is used for since.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::environment;

/// Bytes of a record.
const BYTES_MAX: u64 = 64 * 1024;

/// An app that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) app_id: String,
    pub(crate) http_port: u16,
    pub(crate) grpc_port: u16,
    /// 0 for an app that does not listen.
    pub(crate) app_port: u16,
    pub(crate) command: String,
    /// When it was started, in seconds since 1970.
    pub(crate) started: u64,
    /// The process of its sidecar.
    pub(crate) pid: u32,
    /// The app's own process; 0 if there is none.
    pub(crate) app_pid: u32,
    /// The file that it was started from; empty for one that was not.
    pub(crate) run_file: String,
    pub(crate) app_log: String,
    pub(crate) sidecar_log: String,
}

impl Record {
    fn json(&self) -> Value {
        json!({
            "app_id": self.app_id, "http_port": self.http_port, "grpc_port": self.grpc_port,
            "app_port": self.app_port, "command": self.command, "started": self.started, "pid": self.pid,
            "app_pid": self.app_pid, "run_file": self.run_file, "app_log": self.app_log,
            "sidecar_log": self.sidecar_log,
        })
    }

    fn of(json: &Value) -> Option<Self> {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let number = |key: &str| json[key].as_u64();
        let port = |key: &str| number(key).and_then(|port| u16::try_from(port).ok());
        let id = |key: &str| number(key).and_then(|id| u32::try_from(id).ok());
        Some(Self {
            app_id: text("app_id")?,
            http_port: port("http_port")?,
            grpc_port: port("grpc_port")?,
            app_port: port("app_port")?,
            command: text("command")?,
            started: number("started")?,
            pid: id("pid")?,
            app_pid: id("app_pid")?,
            run_file: text("run_file")?,
            app_log: text("app_log")?,
            sidecar_log: text("sidecar_log")?,
        })
    }
}

/// A record that is kept; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // One that stays is not believed: its lock goes with us.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Keeps a record while the result lives. Errors: the runtime folder cannot be written, or is another user's.
pub(crate) fn keep(record: &Record) -> io::Result<Kept> {
    let folder = folder();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    if std::fs::metadata(&folder)?.uid() != rustix::process::getuid().as_raw() {
        return Err(io::Error::other(format!("`{}` is another user's", folder.display())));
    }
    let name = uuid::Uuid::now_v7();
    let (draft, path) = (folder.join(format!("{name}.new")), folder.join(format!("{name}.json")));
    let mut file = File::create(&draft)?;
    file.lock()?;
    file.write_all(record.json().to_string().as_bytes())?;
    // Locked before it can be seen.
    std::fs::rename(&draft, &path)?;
    Ok(Kept { path, _file: file })
}

/// Every app that runs, in the order of their start; records that nobody holds are removed.
pub(crate) fn all() -> Vec<(PathBuf, Record)> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().filter_map(Result::ok);
    let paths =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut found: Vec<_> = paths.filter_map(|path| read(&path).map(|record| (path, record))).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// The record at a path, if somebody holds it.
pub(crate) fn read(path: &Path) -> Option<Record> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Its process is gone.
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            return None;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    Record::of(&serde_json::from_str(&text).ok()?)
}

fn folder() -> PathBuf {
    environment::runtime_folder().join("runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record { app_id: "shop".to_owned(), http_port: 3500, pid: 7, ..Record::default() };
        assert_eq!(Record::of(&record.json()), Some(record));
        assert_eq!(Record::of(&json!({"app_id": "shop"})), None);
    }

    #[test]
    fn a_record_that_nobody_holds_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        std::fs::write(&path, Record::default().json().to_string()).unwrap();
        assert_eq!(read(&path), Some(Record::default()));
        drop(file);
        assert_eq!((read(&path), path.exists()), (None, false));
    }
}
