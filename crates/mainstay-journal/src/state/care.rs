//! What a state log does unasked: removes what has outlived its time, and gives disk space back.
//!
//! The log stays the truth, so its oldest segment is dropped only when what still lives in it has been copied to the
//! end. Segments go from the old end only, so a deletion's record may go with its segment: what it deleted was older.
//! Whether something still lives is decided under the lock that decides changes; so no change comes between that and
//! the copy.
//!
//! Bound: the log holds at most twice what lives, and [`SLACK_SEGMENTS`] segments; a start reads no more than that.

use mainstay_core::Result;

use super::log::StateLog;
use super::recent::Version;
use super::record::{self, Content, FullKey, Kept, kind};
use super::unavailable;
use crate::damage::{Damage, Fault};
use crate::engine::{blocking, slack_bytes};
use crate::log::queue::Acknowledged;
use crate::log::record::{Group, kind as log_kind};
use crate::log::segment::HEAD_BYTES;
use crate::log::walk::{self, Step, Walk};

/// Segments of dead records that are not worth a copy.
const SLACK_SEGMENTS: u64 = 1;
/// Keys removed in one append.
const SWEPT_AT_ONCE: usize = 500;
/// Appends of removals in one sweep; what is left is the next one's.
const SWEEPS_MAX: usize = 100;
/// Bytes copied in one append, while nobody else may change.
const COPY_BYTES: usize = 128 * 1024;

impl StateLog {
    /// One round: sweep, then trim. Errors: `STORE_UNAVAILABLE`, `JOURNAL_CORRUPT`.
    pub(crate) async fn tend(&self) -> Result<()> {
        // The view is asked what is over and what lives.
        self.engine.view.caught_up().await.map_err(unavailable)?;
        for _ in 0..SWEEPS_MAX {
            if self.sweep().await? < SWEPT_AT_ONCE {
                break;
            }
        }
        self.trim().await
    }

    /// Removes some of what has outlived its time; gives how many keys were looked at.
    async fn sweep(&self) -> Result<usize> {
        let now_ms = self.clock.now_ms();
        let shown = self.shown.snapshot().map_err(|cause| unavailable(cause.refuse_read()))?;
        let expired = shown.expired(now_ms, SWEPT_AT_ONCE);
        let expired = expired.map_err(|cause| unavailable(cause.refuse_read()))?;
        drop(shown);
        if expired.is_empty() {
            return Ok(0);
        }
        let removed = self.remove_expired(&expired, now_ms)?;
        if let Some(acknowledged) = removed {
            acknowledged.await.map_err(unavailable)?;
        }
        self.engine.view.caught_up().await.map_err(unavailable)?;
        Ok(expired.len())
    }

    fn remove_expired(&self, keys: &[Vec<u8>], now_ms: u64) -> Result<Option<Acknowledged>> {
        let mut versions = self.recent.write();
        let mut gone: Vec<FullKey> = Vec::new();
        for key in keys {
            // One that was changed lately is the next sweep's, if it is anyone's.
            if versions.newest(key).is_none() && self.row(key)?.is_some_and(|row| !row.is_alive(now_ms)) {
                gone.push(key.as_slice().into());
            }
        }
        if gone.is_empty() {
            return Ok(None);
        }
        let mut group = Group::default();
        gone.iter().for_each(|key| record::push(&mut group, key, None));
        record::stamp(&mut group, versions.last + 1);
        let acknowledged = self.engine.log.append(&group).map_err(unavailable)?;
        let durable = self.engine.log.durable_batch();
        for key in gone {
            versions.last += 1;
            let version = Version { number: versions.last, batch: acknowledged.batch(), kept: None };
            versions.push(key, version, durable);
        }
        Ok(Some(acknowledged))
    }

    /// Drops oldest segments while more than half of the log is dead; then blobs that nothing refers to.
    async fn trim(&self) -> Result<()> {
        let segment_bytes = self.engine.options.segment_bytes;
        let slack = SLACK_SEGMENTS * segment_bytes + slack_bytes(segment_bytes);
        let mut is_trimmed = false;
        for _ in 0..=self.engine.log.published().segments().len() {
            let shown = self.shown.snapshot().map_err(|cause| unavailable(cause.refuse_read()))?;
            if self.engine.used_bytes() <= 2 * shown.weight.log + slack {
                break;
            }
            self.drop_oldest().await?;
            is_trimmed = true;
        }
        if !is_trimmed {
            return Ok(());
        }
        let (view, blobs) = (self.engine.view.clone(), self.engine.blobs.clone());
        blocking(move || view.sweep_blobs(&blobs)).await?.map_err(|cause| unavailable(cause.refuse_read()))
    }

    async fn drop_oldest(&self) -> Result<()> {
        if self.engine.log.published().segments().len() == 1 {
            self.engine.log.rotate().map_err(unavailable)?.await.map_err(unavailable)?;
        }
        // The view must know all of the segment before it is asked what lives in it.
        self.engine.view.caught_up().await.map_err(unavailable)?;
        let oldest = self.engine.log.published().segments()[0].head.number;
        let mut from = Some(HEAD_BYTES);
        while let Some(at) = from {
            from = self.copy_some(oldest, at).await?;
        }
        self.append_floor().map_err(unavailable)?.await.map_err(unavailable)?;
        self.engine.drop_copied(oldest).await.map_err(unavailable)?;
        self.shelf.forget(oldest);
        Ok(())
    }

    /// Copies some of what lives in segment `oldest` from `at` on; gives where to go on.
    async fn copy_some(&self, oldest: u32, at: u64) -> Result<Option<u64>> {
        let folder = self.engine.options.log_folder();
        let (candidates, next) =
            blocking(move || candidates(&folder, oldest, at)).await?.map_err(Fault::refuse_read)?;
        if let Some(acknowledged) = self.copy(oldest, &candidates)? {
            acknowledged.await.map_err(unavailable)?;
        }
        Ok(next)
    }

    /// Copies those candidates that live.
    fn copy(&self, oldest: u32, candidates: &[Candidate]) -> Result<Option<Acknowledged>> {
        let lives = |candidate: &Candidate| -> Result<bool> {
            let row = self.row(&candidate.key)?;
            Ok(row.is_some_and(|row| row.version == candidate.version && row.place.segment == oldest))
        };
        // Most of an old segment is dead: that is found out before others have to wait.
        let mut living = Vec::new();
        for candidate in candidates {
            if lives(candidate)? {
                living.push(candidate);
            }
        }
        let versions = self.recent.write();
        let mut group = Group::default();
        for candidate in living {
            if versions.newest(&candidate.key).is_none_or(|newest| newest.number == candidate.version)
                && lives(candidate)?
            {
                record::push_copy(&mut group, candidate.version, &candidate.key, &candidate.kept);
            }
        }
        if group.is_empty() {
            return Ok(None);
        }
        self.engine.log.append(&group).map(Some).map_err(unavailable)
    }
}

/// A record that may live.
struct Candidate {
    key: FullKey,
    version: u64,
    kept: Kept,
}

/// What was set in `segment` from `at` on, up to `COPY_BYTES`; and where to go on.
fn candidates(
    folder: &std::path::Path,
    segment: u32,
    at: u64,
) -> Result<(Vec<Candidate>, Option<u64>), Fault> {
    let (file, path, bytes, head) = walk::open(folder, segment)?;
    let damaged = |at, lsn, fault: &str| {
        Fault::from(Damage::new(&path, at, lsn, fault, "it was whole when the store was opened"))
    };
    let head = head.ok_or_else(|| damaged(0, 0, "the segment's head is damaged"))?;
    let mut walk = Walk::new(&file, &head, at, bytes);
    let (mut candidates, mut weight) = (Vec::new(), 0);
    loop {
        let at = walk.position();
        match walk.step().map_err(Fault::io(&path))? {
            Step::Record(record) if record.header.kind == log_kind::SEGMENT_END => {
                return Ok((candidates, None));
            }
            Step::Record(record) if record.header.kind == kind::CHANGE => {
                let lsn = record.header.lsn;
                let change = record::decode(record.payload)
                    .ok_or_else(|| damaged(at, lsn, "the change is cut off"))?;
                let Some(set) = change.set else { continue };
                let inline =
                    || Content::Inline(bytes::Bytes::copy_from_slice(&record.payload[set.value_at..]));
                let kept = Kept {
                    content: set.blob.map_or_else(inline, Content::Blob),
                    expires_at_ms: set.expires_at_ms,
                };
                candidates.push(Candidate { key: change.key.into(), version: change.version, kept });
                weight += record.place.bytes as usize;
            }
            Step::Record(_) => {}
            Step::Blank => return Err(damaged(at, 0, "zeros where a record should be")),
            Step::Bad(fault) => return Err(damaged(at, 0, fault)),
        }
        if weight >= COPY_BYTES {
            return Ok((candidates, Some(walk.position())));
        }
    }
}
