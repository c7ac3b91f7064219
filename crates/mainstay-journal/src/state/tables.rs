//! The view of the state log: where the living value of each key is, and which keys have a time to live. It holds
//! places, not values.

use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::recent::Recent;
use super::record::{self, Change, kind};
use crate::blob::BlobRef;
use crate::log::record::{kind as log_kind, u64_at};
use crate::log::walk::Record;
use crate::log::{End, Place};
use crate::view::references::References;
use crate::view::table::{META, Slot, Weight, meta};
use crate::view::{Apply, BlobChanges, Tables, ViewError};

/// Key with its store in front → [`Row`].
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// When it expires, and the key with its store in front: the order of expiry.
const EXPIRIES: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("expiries");
/// In `META`: the highest version that was ever given.
const VERSION: &str = "version";
/// In a row: it never expires.
const NEVER: u64 = u64::MAX;

/// Where the living value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) place: Place,
    pub(crate) blob: Option<BlobRef>,
}

impl Row {
    fn slot(&self) -> Slot {
        Slot { place: self.place, version: self.version, blob: self.blob }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.expires_at_ms.unwrap_or(NEVER).to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.slot().encode());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let expires = u64_at(bytes, 0);
        let Slot { place, version, blob } = Slot::decode(&bytes[8..]);
        Self { version, expires_at_ms: (expires != NEVER).then_some(expires), place, blob }
    }

    pub(crate) fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_none_or(|end| end > now_ms)
    }
}

/// What the last commit of the view shows: one open snapshot for all readers, so that a read opens nothing.
#[derive(Debug, Default)]
pub(crate) struct Shown(RwLock<Option<Arc<Snapshot>>>);

/// One commit.
pub(crate) struct Snapshot {
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    expiries: ReadOnlyTable<(u64, &'static [u8]), ()>,
    /// The highest version that was ever given.
    pub(crate) version: u64,
    pub(crate) weight: Weight,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Shown {
    /// The last commit. Errors: the view is closed.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, ViewError> {
        self.0.read().clone().ok_or(ViewError::Closed)
    }
}

impl Snapshot {
    fn read(database: &Database) -> Result<Self, ViewError> {
        let read = database.begin_read()?;
        let numbers = read.open_table(META)?;
        let number = |name: &str| -> Result<u64, ViewError> {
            Ok(numbers.get(name)?.map_or(0, |value| value.value()))
        };
        Ok(Self {
            entries: read.open_table(ENTRIES)?,
            expiries: read.open_table(EXPIRIES)?,
            version: number(VERSION)?,
            weight: Weight { log: number(meta::LOG_BYTES)?, blob: number(meta::BLOB_BYTES)? },
        })
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &[u8]) -> Result<Option<Row>, ViewError> {
        Ok(self.entries.get(key)?.map(|row| Row::decode(row.value())))
    }

    /// Up to `max` rows of keys that begin with `prefix`, from `from` on and, if given, up to `to`.
    pub(crate) fn rows(
        &self,
        from: Bound<&[u8]>,
        prefix: &[u8],
        to: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, ViewError> {
        let to = to.map_or(Bound::Unbounded, Bound::Included);
        let mut rows = Vec::new();
        for entry in self.entries.range::<&[u8]>((from, to))?.take(max) {
            let (key, row) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            rows.push((key.value().to_vec(), Row::decode(row.value())));
        }
        Ok(rows)
    }

    /// Up to `max` keys whose time is over at `now_ms`, the oldest first.
    pub(crate) fn expired(&self, now_ms: u64, max: usize) -> Result<Vec<Vec<u8>>, ViewError> {
        let until = (now_ms.saturating_add(1), &b""[..]);
        let expired = self.expiries.range::<(u64, &[u8])>(..until)?.take(max);
        expired.map(|entry| Ok(entry?.0.value().1.to_vec())).collect()
    }
}

/// The tables of the state log.
#[derive(Debug)]
pub(crate) struct StateTables {
    pub(crate) shown: Arc<Shown>,
    pub(crate) recent: Arc<Recent>,
}

impl Tables for StateTables {
    const FORMAT: u64 = 1;
    type Apply<'t> = Rows<'t>;

    fn create(write: &WriteTransaction) -> Result<(), ViewError> {
        write.open_table(ENTRIES)?;
        write.open_table(EXPIRIES)?;
        Ok(())
    }

    fn begin<'t>(&'t self, write: &'t WriteTransaction) -> Result<Rows<'t>, ViewError> {
        Rows::open(write)
    }

    fn committed(&self, database: &Database) -> Result<(), ViewError> {
        let snapshot = Arc::new(Snapshot::read(database)?);
        let version = snapshot.version;
        *self.shown.0.write() = Some(snapshot);
        // Only now: a reader that does not find a version here must find it in the snapshot.
        self.recent.prune(version);
        Ok(())
    }

    fn close(&self) {
        *self.shown.0.write() = None;
    }
}

/// The tables, open for one transaction.
pub(crate) struct Rows<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    expiries: Table<'t, (u64, &'static [u8]), ()>,
    references: References<'t>,
    meta: Table<'t, &'static str, u64>,
    weight: Weight,
    version: u64,
}

impl<'t> Rows<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, ViewError> {
        let meta = write.open_table(META)?;
        let number =
            |name: &str| -> Result<u64, ViewError> { Ok(meta.get(name)?.map_or(0, |value| value.value())) };
        let weight = Weight { log: number(meta::LOG_BYTES)?, blob: number(meta::BLOB_BYTES)? };
        let version = number(VERSION)?;
        let (entries, expiries) = (write.open_table(ENTRIES)?, write.open_table(EXPIRIES)?);
        Ok(Self { entries, expiries, references: References::open(write)?, meta, weight, version })
    }

    fn change(&mut self, change: &Change<'_>, record: &Record<'_>) -> Result<(), ViewError> {
        let next = change.set.map(|set| Row {
            version: change.version,
            expires_at_ms: set.expires_at_ms,
            place: record.place,
            blob: set.blob,
        });
        if let Some(blob) = next.and_then(|row| row.blob) {
            self.references.arrive(&blob, change.is_copy)?;
        }
        let known = self.entries.get(change.key)?.map(|row| Row::decode(row.value()));
        if known.is_some_and(|known| known.version > change.version) {
            return next.map_or(Ok(()), |row| self.release(&row));
        }
        if let Some(known) = known {
            self.weight.remove(known.slot().weight());
            self.release(&known)?;
            if let Some(end) = known.expires_at_ms {
                self.expiries.remove((end, change.key))?;
            }
        }
        match next {
            None => drop(self.entries.remove(change.key)?),
            Some(row) => {
                self.weight.add(row.slot().weight());
                self.entries.insert(change.key, row.encode().as_slice())?;
                if let Some(end) = row.expires_at_ms {
                    self.expiries.insert((end, change.key), ())?;
                }
            }
        }
        Ok(())
    }

    fn release(&mut self, row: &Row) -> Result<(), ViewError> {
        row.blob.as_ref().map_or(Ok(()), |blob| self.references.release(blob))
    }
}

impl Apply for Rows<'_> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), ViewError> {
        let lsn = record.header.lsn;
        let unreadable = || {
            let cause = serde::de::Error::custom("the change is cut off");
            ViewError::Record { lsn, cause }
        };
        match record.header.kind {
            kind::CHANGE => {
                let change = record::decode(record.payload).ok_or_else(unreadable)?;
                self.version = self.version.max(change.version);
                self.change(&change, record)
            }
            kind::FLOOR => {
                let floor = record.payload.get(..8).ok_or_else(unreadable)?;
                self.version = self.version.max(u64_at(floor, 0));
                Ok(())
            }
            log_kind::SEGMENT_END | log_kind::TRIMMED | log_kind::PROBE => Ok(()),
            kind => Err(ViewError::Kind { lsn, kind }),
        }
    }

    fn finish(mut self, end: End) -> Result<BlobChanges, ViewError> {
        self.meta.insert(VERSION, self.version)?;
        self.meta.insert(meta::LOG_BYTES, self.weight.log)?;
        self.meta.insert(meta::BLOB_BYTES, self.weight.blob)?;
        crate::view::apply::note_end(&mut self.meta, end)?;
        Ok(self.references.finish())
    }
}
