//! The view's file: opened if it is whole and fits the log, else thrown away and made anew.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, Database, ReadableDatabase, TableError};

use super::table::{self, META, meta};
use super::{Tables, ViewError};
use crate::damage::Fault;
use crate::log::record::Chain;
use crate::log::segment::HEAD_BYTES;
use crate::log::writer::Segment;
use crate::log::{End, Lsn};

/// What a view says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) journal: u64,
    pub(crate) applied: End,
}

/// A view that is whole, with what it says; `None` where it is missing, damaged or of another format. Reads every
/// page: a damaged page would otherwise show as missing runs, or not at all.
pub(crate) fn open(path: &Path, cache_bytes: usize, format: u64) -> Option<(Database, Said)> {
    if !path.exists() {
        return None;
    }
    // redb asserts where a damaged page contradicts itself; here that is an answer, not a crash.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| open_checked(path, cache_bytes, format)));
    let why = match opened {
        Ok(Ok(view)) => return Some(view),
        Ok(Err(why)) => why,
        Err(_) => "a page contradicts itself".to_owned(),
    };
    tracing::warn!(file = %path.display(), %why, "the journal's view is not usable and will be built anew from the log");
    None
}

fn open_checked(path: &Path, cache_bytes: usize, format: u64) -> Result<(Database, Said), String> {
    let repaired = Arc::new(AtomicBool::new(false));
    let seen = repaired.clone();
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder.set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
    let mut database = builder.open(path).map_err(|cause| cause.to_string())?;
    // A repair after a crash has verified every page already.
    if !repaired.load(Ordering::Relaxed) && !database.check_integrity().map_err(|cause| cause.to_string())? {
        return Err("the integrity check failed".to_owned());
    }
    let said = said(&database, format).map_err(|cause| cause.to_string())?;
    Ok((database, said.ok_or("it is of another format")?))
}

fn said(database: &Database, format: u64) -> Result<Option<Said>, redb::Error> {
    let meta_table = match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        outcome => outcome?,
    };
    let number =
        |name: &str| -> Result<u64, redb::Error> { Ok(meta_table.get(name)?.map_or(0, |v| v.value())) };
    if number(meta::FORMAT)? != format {
        return Ok(None);
    }
    let applied = End {
        lsn: number(meta::APPLIED_LSN)?,
        segment: u32::try_from(number(meta::APPLIED_SEGMENT)?).unwrap_or(0),
        offset: number(meta::APPLIED_OFFSET)?,
    };
    Ok(Some(Said { journal: number(meta::JOURNAL)?, applied }))
}

/// Whether a view that says this can follow the log from where it is.
pub(crate) fn fits(said: &Said, journal: u64, segments: &[Segment], durable: Lsn) -> bool {
    let follows = segments.iter().any(|segment| {
        segment.head.number == said.applied.segment && segment.head.first_lsn <= said.applied.lsn + 1
    });
    said.journal == journal && follows && said.applied.lsn <= durable
}

/// Makes an empty view for the log that begins with `first`, in place of whatever is there.
pub(crate) fn create<T: Tables>(
    path: &Path,
    cache_bytes: usize,
    journal: u64,
    first: &Segment,
) -> Result<(Database, End), ViewError> {
    if path.exists() {
        std::fs::remove_file(path).map_err(Fault::io(path))?;
    }
    let database = Builder::new().set_cache_size(cache_bytes).create(path)?;
    let start = Chain { lsn: first.head.first_lsn - 1, crc: first.head.prev };
    let end = End { lsn: start.lsn, segment: first.head.number, offset: HEAD_BYTES };
    let write = database.begin_write()?;
    {
        let mut meta_table = write.open_table(META)?;
        meta_table.insert(meta::FORMAT, T::FORMAT)?;
        meta_table.insert(meta::JOURNAL, journal)?;
        write.open_table(table::BLOBS)?;
    }
    T::create(&write)?;
    super::apply::note_applied(&write, end)?;
    write.commit()?;
    Ok((database, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::segment::Head;
    use crate::view::apply::Runs;
    use crate::view::table::FORMAT;

    #[test]
    fn a_view_of_another_format_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view.redb");
        let first = Segment { head: Head { journal: 7, number: 1, first_lsn: 1, prev: 0 }, bytes: 8192 };
        drop(create::<Runs>(&path, 1024 * 1024, 7, &first).unwrap());
        let (database, said) = open(&path, 1024 * 1024, FORMAT).expect("a view of this format is used");
        assert_eq!(said.journal, 7);
        let write = database.begin_write().unwrap();
        write.open_table(META).unwrap().insert(meta::FORMAT, FORMAT - 1).unwrap();
        write.commit().unwrap();
        drop(database);
        assert!(open(&path, 1024 * 1024, FORMAT).is_none());
    }
}
