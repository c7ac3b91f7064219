//! The log of all state stores: one folder, one order of changes. It decides what is changed, waits until that is
//! durable, and finds what is there.
//!
//! ```text
//!  change ─► decided (preconditions, version) ─► log ─► durable ─► acknowledged, shown to reads
//!               one lock, so that the order of decisions is that of the log         │
//!                                  recent (memory) ◄── until the view has it ──► view (redb)
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_core::state::{Change, Entry, Precondition};
use mainstay_core::{Clock, Error, Result, codes};

use super::recent::{Recent, Version, Versions};
use super::record::{self, Content, FullKey, Kept, kind};
use super::tables::{Row, Shown, StateTables};
use super::{StateOptions, unavailable};
use crate::blob::{Large, Pins};
use crate::damage::{Damage, Fault};
use crate::engine::{Engine, blocking};
use crate::log::queue::Acknowledged;
use crate::log::record::{Group, kind as log_kind};
use crate::log::segment;
use crate::log::shelf::Shelf;
use crate::view::ViewError;

/// Times that a read starts over because what it was about to read moved.
const READ_ATTEMPTS: u32 = 5;

/// The log, open.
#[derive(Debug)]
pub(crate) struct StateLog {
    pub(crate) engine: Engine,
    pub(crate) shown: Arc<Shown>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) shelf: Shelf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: StateOptions,
}

/// A change on its way.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) key: FullKey,
    precondition: Precondition,
    kept: Option<Kept>,
}

/// What was found under a key.
#[derive(Debug)]
pub(crate) enum Found {
    Recent(Version),
    Shown(Row),
}

impl StateLog {
    /// Opens the log; blocks. Errors: `JOURNAL_*`, `UNSUPPORTED`.
    pub(crate) fn open(options: StateOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let (shown, recent) = (Arc::new(Shown::default()), Arc::new(Recent::default()));
        let tables =
            |_: &Arc<crate::blob::Blobs>| StateTables { shown: shown.clone(), recent: recent.clone() };
        let engine = Engine::open(options.journal.clone(), tables)?;
        recent.write().last = shown.snapshot().map_err(ViewError::refuse_start)?.version;
        let shelf = Shelf::new(engine.options.log_folder());
        Ok(Self { engine, shown, recent, shelf, clock, options })
    }

    /// Makes the change ready: large values become blobs, which are durable from then on.
    pub(crate) async fn draft(&self, prefix: &[u8], change: Change) -> Result<(Draft, Option<Pins>)> {
        let key = full_key(prefix, change.key());
        let (value, ttl, precondition) = match change {
            Change::Delete { precondition, .. } => {
                return Ok((Draft { key, precondition, kept: None }, None));
            }
            Change::Set { value, ttl, precondition, .. } => (value, ttl, precondition),
        };
        let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let expires_at_ms = ttl_ms.map(|ttl| self.clock.now_ms().saturating_add(ttl));
        if value.len() <= self.engine.options.inline_bytes_max {
            let kept = Kept { content: Content::Inline(value), expires_at_ms };
            return Ok((Draft { key, precondition, kept: Some(kept) }, None));
        }
        let large = blocking(move || Large::new(value.to_vec())).await?;
        let kept = Kept { content: Content::Blob(large.blob()), expires_at_ms };
        let pins = self.engine.put(vec![large]).await.map_err(unavailable)?;
        Ok((Draft { key, precondition, kept: Some(kept) }, Some(pins)))
    }

    /// Waits while there is more in memory than the view has caught up with.
    pub(crate) async fn admit(&self) -> Result<()> {
        if self.recent.read().bytes() <= self.options.recent_bytes_max {
            return Ok(());
        }
        // What is not durable yet stays, and is bounded by the log's own queue.
        self.engine.view.caught_up().await.map_err(unavailable)
    }

    /// Decides the changes, all or none, and hands them to the log. A refusal may rest on a change that is not durable
    /// yet: then the batch of that one is given, to be waited for before the refusal is told.
    pub(crate) fn submit(
        &self,
        drafts: Vec<Draft>,
        pins: Vec<Pins>,
    ) -> Result<Acknowledged, (Error, Option<Acknowledged>)> {
        let mut group = Group::default();
        drafts.iter().for_each(|draft| record::push(&mut group, &draft.key, draft.kept.as_ref()));
        for draft in drafts.iter().filter(|draft| draft.precondition != Precondition::None) {
            // What the decision needs is brought into memory before others have to wait for it.
            self.row(&draft.key).map_err(|error| (error, None))?;
        }
        let mut versions = self.recent.write();
        let now_ms = self.clock.now_ms();
        let mut deciding = Deciding { log: self, versions: &versions, now_ms, rests_on: 0 };
        if let Err(error) = deciding.all(&drafts) {
            let batch = deciding.rests_on;
            drop(versions);
            let pending = (batch > self.engine.log.durable_batch()).then(|| self.engine.log.follow(batch));
            return Err((error, pending));
        }
        record::stamp(&mut group, versions.last + 1);
        let taken = self.engine.log.append(&group).inspect_err(|error| self.engine.count_overload(error));
        let acknowledged = taken.map_err(|error| (unavailable(error), None))?;
        pins.into_iter().for_each(Pins::hand_over);
        let durable = self.engine.log.durable_batch();
        for Draft { key, kept, .. } in drafts {
            versions.last += 1;
            let version = Version { number: versions.last, batch: acknowledged.batch(), kept };
            versions.push(key, version, durable);
        }
        Ok(acknowledged)
    }

    /// What is under the key for a reader: what is durable now, or became so a moment ago.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Found>> {
        let versions = self.recent.read();
        // Asked for while nobody can add: what is not shown any more at that time may have gone.
        let durable = self.engine.log.durable_batch();
        if let Some(version) = versions.shown(key, durable) {
            return Ok(Some(Found::Recent(version.clone())));
        }
        drop(versions);
        Ok(self.row(key)?.map(Found::Shown))
    }

    /// The key's row in the last commit of the view.
    pub(crate) fn row(&self, key: &[u8]) -> Result<Option<Row>> {
        let found = self.shown.snapshot().and_then(|shown| shown.row(key));
        found.map_err(|cause| unavailable(cause.refuse_read()))
    }

    /// What is under the key, with its value; what has outlived its time is not there.
    pub(crate) async fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        for attempt in 1..=READ_ATTEMPTS {
            let Some(found) = self.find(key)? else { return Ok(None) };
            match self.read(found, attempt == READ_ATTEMPTS).await? {
                Read::Entry(entry) => return Ok(entry),
                Read::Moved => {}
            }
        }
        Err(Error::bug("the last look takes what is gone for lost"))
    }

    /// Reads what was found. `is_last_look`: what is not there has not moved but is lost.
    pub(crate) async fn read(&self, found: Found, is_last_look: bool) -> Result<Read> {
        let now_ms = self.clock.now_ms();
        let (version, expires_at_ms, content) = match found {
            Found::Recent(Version { kept: None, .. }) => return Ok(Read::Entry(None)),
            Found::Recent(Version { number, kept: Some(kept), .. }) => {
                (number, kept.expires_at_ms, Some(kept.content))
            }
            Found::Shown(row) if row.is_alive(now_ms) => {
                let content = match row.blob {
                    Some(blob) => Some(Content::Blob(blob)),
                    None => self.value(&row, is_last_look)?.map(Content::Inline),
                };
                (row.version, row.expires_at_ms, content)
            }
            Found::Shown(_) => return Ok(Read::Entry(None)),
        };
        if expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Ok(Read::Entry(None));
        }
        let value = match content {
            Some(Content::Inline(value)) => Some(value),
            Some(Content::Blob(blob)) => {
                let blobs = self.engine.blobs.clone();
                let read = blocking(move || blobs.get(&blob)).await?.map_err(Fault::refuse_read)?;
                if read.is_none() && is_last_look {
                    let path = self.engine.blobs.path(&blob.hash);
                    return Err(lost(&path));
                }
                read.map(Bytes::from)
            }
            None => None,
        };
        let Some(value) = value else { return Ok(Read::Moved) };
        Ok(Read::Entry(Some(Entry { value, etag: version.to_string(), expires_at_ms })))
    }

    /// The value of a row that is not in a blob; `None` where its record has moved.
    fn value(&self, row: &Row, is_last_look: bool) -> Result<Option<Bytes>> {
        let path = segment::path(&self.engine.options.log_folder(), row.place.segment);
        let Some(payload) = self.shelf.payload(row.place).map_err(Fault::refuse_read)? else {
            return if is_last_look { Err(lost(&path)) } else { Ok(None) };
        };
        let set = record::decode(&payload).filter(|change| change.version == row.version);
        let Some(set) = set.and_then(|change| change.set) else {
            let fault = "the record is another one";
            let at = u64::from(row.place.offset);
            return Err(Damage::new(&path, at, 0, fault, "the view has indexed it").refuse_read());
        };
        Ok(Some(Bytes::from(payload).slice(set.value_at..)))
    }

    /// Makes sure that a write becomes durable now.
    pub(crate) async fn probe(&self) -> Result<()> {
        let taken = self.engine.log.append(&Group::of(log_kind::PROBE, &[])).map_err(unavailable)?;
        taken.await.map_err(unavailable)
    }

    /// A record that keeps the versions rising when all records that say so are dropped.
    pub(crate) fn append_floor(&self) -> Result<Acknowledged> {
        let versions = self.recent.read();
        self.engine.log.append(&Group::of(kind::FLOOR, &versions.last.to_le_bytes()))
    }
}

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Read {
    Entry(Option<Entry>),
    /// What was found is elsewhere by now: find it again.
    Moved,
}

/// The key with the store in front.
pub(crate) fn full_key(prefix: &[u8], key: &str) -> FullKey {
    [prefix, key.as_bytes()].concat().into()
}

fn lost(path: &std::path::Path) -> Error {
    Damage::new(path, 0, 0, "the file is missing", "a value that is kept refers to it").refuse_read()
}

/// A decision about changes, while nobody else decides.
struct Deciding<'a> {
    log: &'a StateLog,
    versions: &'a Versions,
    now_ms: u64,
    /// The newest batch that was looked at.
    rests_on: u64,
}

impl Deciding<'_> {
    /// Errors: that of the first change that cannot be made.
    fn all(&mut self, drafts: &[Draft]) -> Result<()> {
        let mut before: HashMap<&FullKey, usize> = HashMap::new();
        for (at, draft) in drafts.iter().enumerate() {
            let holds = match &draft.precondition {
                Precondition::None => true,
                Precondition::Absent => self.version(drafts, &before, &draft.key)?.is_none(),
                Precondition::Etag(etag) => {
                    let expected: u64 = etag.parse().map_err(|_| etag_invalid(&draft.key))?;
                    self.version(drafts, &before, &draft.key)? == Some(expected)
                }
            };
            if !holds {
                return Err(etag_mismatch(&draft.key));
            }
            before.insert(&draft.key, at);
        }
        Ok(())
    }

    /// The version of what is under the key when the changes `before` are made, if there is something.
    fn version(
        &mut self,
        drafts: &[Draft],
        before: &HashMap<&FullKey, usize>,
        key: &FullKey,
    ) -> Result<Option<u64>> {
        if let Some(earlier) = before.get(key) {
            let is_set = drafts[*earlier].kept.as_ref().is_some_and(|kept| kept.is_alive(self.now_ms));
            return Ok(is_set.then(|| self.versions.last + 1 + *earlier as u64));
        }
        if let Some(newest) = self.versions.newest(key) {
            self.rests_on = self.rests_on.max(newest.batch);
            let is_alive = newest.kept.as_ref().is_some_and(|kept| kept.is_alive(self.now_ms));
            return Ok(is_alive.then_some(newest.number));
        }
        let row = self.log.row(key)?;
        Ok(row.filter(|row| row.is_alive(self.now_ms)).map(|row| row.version))
    }
}

fn shown_key(full: &FullKey) -> String {
    let name = full.first().map_or(0, |length| usize::from(*length) + 1);
    String::from_utf8_lossy(full.get(name..).unwrap_or_default()).into_owned()
}

fn etag_mismatch(key: &FullKey) -> Error {
    Error::new(&codes::ETAG_MISMATCH, format!("change `{}`: it was changed meanwhile", shown_key(key)))
}

fn etag_invalid(key: &FullKey) -> Error {
    Error::new(&codes::ETAG_INVALID, format!("change `{}`: its etag is no number", shown_key(key)))
}
