//! The file and its connections: one that writes, on a thread of its own, and some that read. Whatever waits for the
//! writer is committed at once, with one sync.
//!
//! ```text
//! apply ─┐
//! apply ─┼─► queue ─► writer: BEGIN, all that wait, COMMIT ─► answers
//! apply ─┘
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::state::Change;
use mainstay_core::{Error, Result, codes};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::table::Table;
use super::{gone, sql};

/// Writes that wait.
const QUEUE: usize = 1_024;
/// Writes of one commit.
const BATCH: usize = 256;
/// Connections that read.
const READERS: usize = 4;

/// Where the database is and how it is opened.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// `None` in memory.
    path: Option<PathBuf>,
    read_only: bool,
    pragmas: Vec<(String, String)>,
    pub(super) busy: Option<Duration>,
    pub(super) wal: bool,
}

impl Place {
    /// Reads a connection string. Errors: what is wrong with it.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let text = text.strip_prefix("file:").unwrap_or(text);
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let mut place = Self::default();
        if !path.starts_with(":memory:") {
            place.path = Some(PathBuf::from(path));
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("mode", "ro") | ("immutable", "1") => place.read_only = true,
                ("mode", "memory") => place.path = None,
                ("_pragma", pragma) => place.pragmas.push(parse_pragma(pragma)?),
                // How it is shared and locked is ours to say.
                _ => {}
            }
        }
        Ok(place)
    }

    /// Relative paths start at `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        self.path = self.path.take().map(|path| folder.join(path));
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let access = match self.read_only {
            true => OpenFlags::SQLITE_OPEN_READ_ONLY,
            false => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.path {
            Some(path) => Connection::open_with_flags(path, flags)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(self.busy.unwrap_or_default())?;
        if self.path.is_some() && !self.read_only {
            let mode = if self.wal { "WAL" } else { "DELETE" };
            connection.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        for (name, value) in &self.pragmas {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }
}

/// `NAME(VALUE)` or `NAME=VALUE`, with `%28` and the like where a URL's writer escaped them.
fn parse_pragma(text: &str) -> std::result::Result<(String, String), String> {
    let text = text.replace("%28", "(").replace("%29", ")").replace("%3D", "=");
    let pair = text.split_once('(').or_else(|| text.split_once('='));
    let (name, value) = pair.ok_or("`_pragma` must be `NAME(VALUE)`")?;
    let value = value.trim_end_matches(')');
    if !sql::is_identifier(name) || !sql::is_identifier(value.trim_start_matches('-')) {
        return Err("`_pragma` must be `NAME(VALUE)`".to_owned());
    }
    if let Some(setting) = match name.to_ascii_lowercase().as_str() {
        "busy_timeout" => Some("busyTimeout"),
        "journal_mode" => Some("disableWAL"),
        _ => None,
    } {
        return Err(format!("`_pragma={name}` is said by `{setting}`"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// What the writer is asked.
pub(super) enum Write {
    /// Changes: each by itself, or all or none.
    Changes { all: bool, changes: Vec<Change>, now_ms: u64, done: oneshot::Sender<Result<Vec<Result<()>>>> },
    /// Removing what has outlived its time.
    Sweep { now_ms: u64, done: oneshot::Sender<()> },
    /// A read, where there is no other connection.
    Read(Read),
}

/// The database. Dropping it ends the writer after what is under way.
pub(super) struct Database {
    place: Place,
    writes: mpsc::Sender<Write>,
    idle: Arc<Mutex<Vec<Connection>>>,
    readers: Arc<Semaphore>,
}

impl Database {
    /// Opens the file and makes the tables. Errors: `STORE_UNAVAILABLE`.
    pub(super) async fn open(place: Place, table: Arc<Table>) -> Result<Self> {
        let (writes, queue) = mpsc::channel(QUEUE);
        let (opened, outcome) = oneshot::channel();
        let (used, read_only) = (place.clone(), place.read_only);
        let writer = move || {
            let connection = used.connect().and_then(|connection| match read_only {
                true => Ok(connection),
                false => table.create(&connection).map(|()| connection),
            });
            match connection {
                Ok(connection) => {
                    let _ = opened.send(Ok(()));
                    write_all(&connection, &table, queue);
                }
                Err(error) => {
                    let _ = opened.send(Err(failed(error)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(writer);
        thread.map_err(|error| Error::bug(format!("start the thread that writes: {error}")))?;
        outcome.await.map_err(|_| gone())??;
        let (idle, readers) = (Arc::default(), Arc::new(Semaphore::new(READERS)));
        Ok(Self { place, writes, idle, readers })
    }

    pub(super) fn is_in_memory(&self) -> bool {
        self.place.path.is_none()
    }

    /// Hands a write to the writer.
    pub(super) async fn write(&self, write: Write) -> Result<()> {
        self.writes.send(write).await.map_err(|_| gone())
    }

    /// Reads on a connection of its own; in memory there is only the writer's.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.is_in_memory() {
            let (done, outcome) = oneshot::channel();
            let read: Read = Box::new(|connection| {
                let _ = done.send(read(connection));
            });
            self.write(Write::Read(read)).await?;
            return outcome.await.map_err(|_| gone())?.map_err(failed);
        }
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| gone())?;
        let (idle, place) = (Arc::clone(&self.idle), self.place.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().pop();
            let connection = kept.map_or_else(|| place.connect(), Ok)?;
            let found = read(&connection);
            if found.is_ok() {
                idle.lock().push(connection);
            }
            drop(permit);
            found
        });
        reading.await.map_err(|error| Error::bug(format!("read the database: {error}")))?.map_err(failed)
    }
}

/// Works until every handle is gone.
fn write_all(connection: &Connection, table: &Table, mut queue: mpsc::Receiver<Write>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        // Reads see what was acknowledged before them, and that is committed.
        let (reads, writes): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|write| matches!(write, Write::Read(_)));
        commit(connection, table, writes);
        for read in reads {
            if let Write::Read(read) = read {
                read(connection);
            }
        }
    }
}

/// Makes everything of a batch in one transaction, and answers when it is on the disk.
fn commit(connection: &Connection, table: &Table, batch: Vec<Write>) {
    if batch.is_empty() {
        return;
    }
    let mut outcomes = Vec::with_capacity(batch.len());
    let committed = connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
        for write in &batch {
            outcomes.push(make(connection, table, write)?);
        }
        connection.execute_batch("COMMIT")
    });
    let error = committed.err().map(|error| {
        // It fails where there is no transaction to end.
        let _ = connection.execute_batch("ROLLBACK");
        failed(error)
    });
    let mut outcomes = outcomes.into_iter();
    for write in batch {
        let outcome = outcomes.next().unwrap_or_default();
        match write {
            Write::Changes { done, .. } => {
                // Who asked may have gone.
                let _ = done.send(error.as_ref().map_or(Ok(outcome), |error| Err(sql::same(error))));
            }
            Write::Sweep { done, .. } => {
                let _ = done.send(());
            }
            Write::Read(_) => {}
        }
    }
}

/// The outcomes of a write. Errors: those that end the whole transaction.
fn make(connection: &Connection, table: &Table, write: &Write) -> rusqlite::Result<Vec<Result<()>>> {
    match write {
        Write::Changes { done, .. } if done.is_closed() => Ok(Vec::new()),
        Write::Changes { all: false, changes, now_ms, .. } => {
            changes.iter().map(|change| made(connection, table, change, *now_ms)).collect()
        }
        Write::Changes { all: true, changes, now_ms, .. } => {
            connection.execute_batch("SAVEPOINT changes")?;
            for change in changes {
                let outcome = made(connection, table, change, *now_ms)?;
                if outcome.is_err() {
                    connection.execute_batch("ROLLBACK TO changes; RELEASE changes")?;
                    return Ok(vec![outcome]);
                }
            }
            connection.execute_batch("RELEASE changes")?;
            Ok(Vec::new())
        }
        Write::Sweep { now_ms, .. } => table.sweep(connection, *now_ms).map(|()| Vec::new()),
        Write::Read(_) => Ok(Vec::new()),
    }
}

fn made(
    connection: &Connection,
    table: &Table,
    change: &Change,
    now_ms: u64,
) -> rusqlite::Result<Result<()>> {
    let made = table.change(connection, change, now_ms)?;
    Ok(if made { Ok(()) } else { Err(sql::changed(change)) })
}

/// What a failure means to the port.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process holds it",
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::CannotOpen) => "the file cannot be opened",
        Some(ErrorCode::ReadOnly) => "it is read-only",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the file is damaged",
        _ => "it answered with an error",
    };
    let failure = Error::new(&codes::STORE_UNAVAILABLE, format!("call the database: {why}"));
    failure.with_internal(error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_a_path_with_options() {
        let place = |text| Place::parse(text).map(|place| (place.path, place.read_only, place.pragmas));
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place("data.db"), Ok((path("data.db"), false, vec![])));
        assert_eq!(place("file:/a/b.db?mode=ro&cache=shared"), Ok((path("/a/b.db"), true, vec![])));
        assert_eq!(place(":memory:"), Ok((None, false, vec![])));
        let cache = vec![("cache_size".to_owned(), "-200".to_owned())];
        assert_eq!(place("a.db?_pragma=cache_size(-200)"), Ok((path("a.db"), false, cache)));
        assert!(place("a.db?_pragma=busy_timeout(1)").is_err_and(|error| error.contains("busyTimeout")));
        assert!(place("a.db?_pragma=x(1);drop").is_err());
    }
}
