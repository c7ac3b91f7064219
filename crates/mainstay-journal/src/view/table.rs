//! The view's tables and rows. A change of any of them needs a new `FORMAT`; old files are then rebuilt.

use mainstay_core::model::Usage;
use mainstay_core::run::{Run, RunError, RunInput, RunStatus};
use mainstay_core::{Error, Name, RunId, SessionId};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::blob::BlobRef;
use crate::log::record::{u32_at, u64_at};
use crate::log::{Lsn, Place};

/// The layout of this file.
pub(crate) const FORMAT: u64 = 2;

/// Single numbers, by the names in [`meta`].
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Run id → [`RunRow`] in JSON.
pub(crate) const RUNS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("runs");
/// [`event_key`] → [`Slot`].
pub(crate) const EVENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("events");
/// Birth → run id: the order of creation.
pub(crate) const BIRTHS: TableDefinition<'_, u64, &str> = TableDefinition::new("births");
/// Birth → run id, of runs that are not final.
pub(crate) const UNFINISHED: TableDefinition<'_, u64, &str> = TableDefinition::new("unfinished");
/// Last change and birth → run id, of final runs: the order in which they are forgotten.
pub(crate) const FINISHED: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("finished");
/// Session and birth → run id.
pub(crate) const SESSION_RUNS: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("session_runs");
/// Session → last change and number of runs.
pub(crate) const SESSIONS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("sessions");
/// Last change and session: the order in which sessions are listed, backwards.
pub(crate) const SESSIONS_BY_USE: TableDefinition<'_, (u64, &str), ()> =
    TableDefinition::new("sessions_by_use");
/// Hash → number of references.
pub(crate) const BLOBS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("blobs");

/// Names in [`META`].
pub(crate) mod meta {
    pub(crate) const FORMAT: &str = "format";
    pub(crate) const JOURNAL: &str = "journal";
    pub(crate) const APPLIED_LSN: &str = "applied_lsn";
    pub(crate) const APPLIED_SEGMENT: &str = "applied_segment";
    pub(crate) const APPLIED_OFFSET: &str = "applied_offset";
    pub(crate) const LOG_BYTES: &str = "live_log_bytes";
    pub(crate) const BLOB_BYTES: &str = "live_blob_bytes";
}

/// Where the living record of a run or event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    /// The LSN at which its content was first written; the highest wins.
    pub(crate) version: Lsn,
    pub(crate) blob: Option<BlobRef>,
}

impl Slot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(60);
        for word in [self.place.segment, self.place.offset, self.place.bytes] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.version.to_le_bytes());
        if let Some(blob) = &self.blob {
            bytes.extend_from_slice(&blob.bytes.to_le_bytes());
            bytes.extend_from_slice(&blob.hash);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let place = Place { segment: u32_at(bytes, 0), offset: u32_at(bytes, 4), bytes: u32_at(bytes, 8) };
        let blob = bytes.get(28..60).map(|hash| BlobRef {
            bytes: u64_at(bytes, 20),
            hash: hash.try_into().expect("a slice of 32 bytes"),
        });
        Self { place, version: u64_at(bytes, 12), blob }
    }

    /// Bytes in the log and in a blob.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            log: u64::from(self.place.bytes).next_multiple_of(crate::log::record::ALIGN as u64),
            blob: self.blob.map_or(0, |blob| blob.bytes),
        }
    }
}

/// Bytes that something keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weight {
    /// In the log.
    pub(crate) log: u64,
    /// In blobs, counted once for each reference.
    pub(crate) blob: u64,
}

impl Weight {
    pub(crate) fn total(self) -> u64 {
        self.log + self.blob
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.log += other.log;
        self.blob += other.blob;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.log -= other.log;
        self.blob -= other.blob;
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    pub(crate) agent: Name,
    pub(crate) session: Option<SessionId>,
    /// Whose it is; `None` where a record of a former version is too damaged to say.
    pub(crate) principal: Option<String>,
    pub(crate) status: RunStatus,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    /// The LSN of its first record ever: its place in the order of creation.
    pub(crate) birth: Lsn,
    /// The LSN of the record that proves the birth; when that one's segment goes, a copy must say it again.
    pub(crate) birth_at: Lsn,
    /// Its own record.
    #[serde(with = "slot_bytes")]
    pub(crate) slot: Slot,
    /// Of its record and its events.
    pub(crate) weight: Weight,
}

impl RunRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a row is plain data")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, redb::StorageError> {
        serde_json::from_slice(bytes)
            .map_err(|cause| redb::StorageError::Corrupted(format!("a run's row: {cause}")))
    }

    /// The run as far as the row knows it; `error` says why there is no more.
    pub(crate) fn stand_in(self, id: RunId, error: &Error) -> Run {
        Run {
            id,
            agent: self.agent,
            session: self.session,
            status: self.status,
            background: false,
            principal: self.principal.unwrap_or_default(),
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            input: RunInput::default(),
            messages: Vec::new(),
            answer: None,
            model: None,
            finish_reason: None,
            error: Some(RunError::from(error)),
            usage: Usage::default(),
            steps: 0,
        }
    }
}

mod slot_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Slot;

    pub(super) fn serialize<S: Serializer>(slot: &Slot, serializer: S) -> Result<S::Ok, S::Error> {
        slot.encode().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Slot, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        if bytes.len() < 20 {
            return Err(serde::de::Error::custom("a slot has at least 20 bytes"));
        }
        Ok(Slot::decode(&bytes))
    }
}

/// The key of an event: ids hold no NUL, so a run's events stand together and in order.
pub(crate) fn event_key(run: &RunId, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(run.as_str().len() + 9);
    key.extend_from_slice(run.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_read_back_with_and_without_a_blob() {
        let place = Place { segment: 1, offset: u32::MAX, bytes: 3 };
        let blob = Some(BlobRef { hash: [9; 32], bytes: u64::MAX });
        for blob in [None, blob] {
            let slot = Slot { place, version: u64::MAX - 1, blob };
            assert_eq!(Slot::decode(&slot.encode()), slot);
        }
    }

    #[test]
    fn event_keys_sort_by_run_and_number_and_never_mix_runs() {
        let key = |run: &str, seq| event_key(&RunId::parse(run).unwrap(), seq);
        let sorted = [key("r", 1), key("r", 255), key("r", 256), key("r!", 0), key("r1", 0), key("s", 0)];
        assert!(sorted.is_sorted());
    }
}
