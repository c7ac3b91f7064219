//! Opening the broker log: recovery, then one walk through it that builds the index.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mainstay_core::{Clock, Result};
use parking_lot::Mutex;

use super::index::{Index, TopicId};
use super::log::{Arrivals, BrokerLog};
use super::record::{self, kind};
use super::{PubSubOptions, group::Progress};
use crate::blob::{BlobRef, Blobs};
use crate::damage::{Damage, Fault};
use crate::engine::{BlobWrites, keep_mark, make_folders, witnesses};
use crate::lock::Lock;
use crate::log::record::kind as log_kind;
use crate::log::segment::HEAD_BYTES;
use crate::log::shelf::Shelf;
use crate::log::walk::{self, Record, Step, Walk};
use crate::log::{Idle, Place};
use crate::stats::Counters;
use crate::view::ViewError;

impl BrokerLog {
    /// Opens the log; blocks for the time of reading it twice. Errors: `JOURNAL_*`, `UNSUPPORTED`.
    pub(crate) fn open(options: PubSubOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let journal = options.journal.clone().within_bounds();
        make_folders(&journal).map_err(Fault::refuse_start)?;
        let lock = Lock::take(&journal.folder)?;
        let seen = witnesses(&journal.folder.join("mark"), None);
        let idle = Idle::open(&journal, &seen).map_err(Fault::refuse_start)?;
        let mut index = read(&journal.log_folder(), &idle).map_err(ViewError::refuse_start)?;
        // A group that had members at the end had them until now; nor has one left in the future.
        let now_ms = clock.now_ms();
        for id in index.group_ids() {
            if let Some(group) = index.group_mut(id) {
                group.seen_ms = group.seen_ms.min(now_ms);
            }
        }
        let counters = Arc::new(Counters::default());
        let blobs =
            Blobs::open(journal.folder.join("blobs"), counters.clone()).map_err(Fault::refuse_start)?;
        sweep_blobs(&blobs, &index).map_err(Fault::refuse_start)?;
        let blobs = Arc::new(blobs);
        let mark = keep_mark(&journal, &idle).map_err(Fault::refuse_start)?;
        let torn_bytes = idle.torn_bytes();
        let index = Arc::new(Mutex::new(index));
        let arrivals = Arc::new(Arrivals(index.clone()));
        let started = idle.start(&journal, mark, counters.clone(), arrivals);
        let log = started.map_err(|cause| Fault::io(&journal.folder)(cause).refuse_start())?;
        Ok(Self {
            blob_writes: BlobWrites::new(blobs.clone(), &journal),
            shelf: Shelf::new(journal.log_folder()),
            options: PubSubOptions { journal, ..options },
            is_closed: std::sync::atomic::AtomicBool::new(false),
            log,
            blobs,
            counters,
            index,
            clock,
            torn_bytes,
            lock,
        })
    }
}

/// Removes blobs that no message refers to.
fn sweep_blobs(blobs: &Blobs, index: &Index) -> Result<(), Fault> {
    let hashes = blobs.list().map_err(|cause| Fault::Io { path: "blobs".into(), cause })?;
    hashes.iter().try_for_each(|hash| blobs.collect(hash, || Ok(index.refers_to(hash))))
}

/// What a walk has found of the topics' messages, by number.
type Found = BTreeMap<TopicId, BTreeMap<u64, (Place, u32, Option<BlobRef>)>>;

fn read(folder: &Path, idle: &Idle) -> Result<Index, ViewError> {
    let published = idle.published();
    let end = published.durable();
    let (mut index, mut found) = (Index::default(), Found::new());
    for segment in published.segments() {
        let number = segment.head.number;
        let (file, path, bytes, _) = walk::open(folder, number)?;
        let until = if number == end.segment { end.offset } else { bytes };
        let mut walk = Walk::new(&file, &segment.head, HEAD_BYTES, until);
        loop {
            let at = walk.position();
            match walk.step().map_err(Fault::io(&path))? {
                Step::Record(record) => take(&mut index, &mut found, &record)?,
                Step::Blank => break,
                Step::Bad(fault) => {
                    let damage = Damage::new(&path, at, 0, fault, "it was whole a moment ago");
                    return Err(Fault::from(damage).into());
                }
            }
        }
    }
    for (topic, messages) in found {
        index.load(topic, messages);
    }
    let topics: Vec<TopicId> = index.topics().map(|(id, _)| id).collect();
    topics.into_iter().for_each(|id| index.load_empty(id));
    Ok(index)
}

fn take(index: &mut Index, found: &mut Found, record: &Record<'_>) -> Result<(), ViewError> {
    let lsn = record.header.lsn;
    let cut_off = || ViewError::Record { lsn, cause: serde::de::Error::custom("the record is cut off") };
    match record.header.kind {
        kind::MESSAGE => {
            let stored = record::message(record.payload).ok_or_else(cut_off)?;
            let topic = index.topic_of(&stored.broker, &stored.message.topic);
            index.note_published(record.place.segment, stored.published_ms);
            let slot = (record.place, stored.lane, stored.blob);
            if found.entry(topic).or_default().insert(stored.seq, slot).is_none() {
                index.refer(stored.blob.as_ref());
            }
            Ok(())
        }
        kind::GROUP => {
            index.put_group(&record::group(record.payload).ok_or_else(cut_off)?);
            Ok(())
        }
        kind::DONE => {
            let (id, seq) = record::is_done(record.payload).ok_or_else(cut_off)?;
            if let Some(group) = index.group_mut(id) {
                Progress::settle(&mut group.progress, seq);
            }
            Ok(())
        }
        kind::FORGOTTEN => {
            index.forget_group(record::is_forgotten(record.payload).ok_or_else(cut_off)?);
            Ok(())
        }
        log_kind::SEGMENT_END | log_kind::TRIMMED | log_kind::PROBE => Ok(()),
        kind => Err(ViewError::Kind { lsn, kind }),
    }
}
