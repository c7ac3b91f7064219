//! Giving disk space back. The log stays the truth, so its oldest segment is dropped only when what still lives in it
//! has been copied to the end:
//!
//! ```text
//!  oldest ─► │ a b̶ c̶ d │ … │ active │  ─►  … │ active, a' d' │, "segment 1 is dropped", then the file goes
//! ```
//! Segments are dropped from the old end only. So a deletion's record may go with its segment: everything that it
//! deleted was older and is gone. A copy says which record it copies, so that a record written meanwhile wins; and no
//! deletion may come between a record and its copy, which `Journal::deletions` and a barrier in the log see to.
//!
//! Why not let the view be the truth for old records and drop the log behind it: a page store cannot be trusted with
//! the only copy (a damaged file is refused whole), and damage to it would no longer heal.

use std::collections::HashSet;

use mainstay_core::Result;
use mainstay_core::RunId;
use mainstay_core::journal::{Purged, Retention};

use crate::damage::Fault;
use crate::engine::{blocking, slack_bytes};
use crate::journal::Journal;
use crate::log::record::{Group, kind as log_kind};
use crate::log::segment::HEAD_BYTES;
use crate::log::walk::{self, Record, Step, Walk};
use crate::store::{ReadError, Reader};
use crate::stored::{self, EventFacts, Forgotten, Moved, RunFacts, kind};
use crate::view::query;
use crate::view::table::RunRow;

/// Runs named in one record.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// Bytes copied in one append.
const COPY_BYTES: usize = 1024 * 1024;

impl Journal {
    /// Forgets what `keep` does not keep, then gives space back.
    pub(crate) async fn forget(&self, keep: Retention) -> Result<Purged> {
        let _alone = self.purging.lock().await;
        let runs = self.read(move |reader| Ok(query::to_forget(reader.view, keep)?)).await?;
        for some in runs.chunks(FORGOTTEN_AT_ONCE) {
            self.append_forgotten(some).await?;
        }
        if let Err(error) = self.trim().await {
            // What was forgotten is forgotten; the space comes back with a later purge.
            tracing::warn!(%error, "the journal could not give all space back");
        }
        let bytes_kept = self.read(|reader| Ok(query::weight(reader.view)?.total())).await?;
        Ok(Purged { runs: runs.len() as u64, bytes_kept })
    }

    async fn append_forgotten(&self, runs: &[RunId]) -> Result<()> {
        let mut group = Group::default();
        stored::push(&mut group, kind::FORGOTTEN, &Forgotten { runs: runs.to_vec() }, &[]);
        self.engine.log.append(&group)?.await
    }

    /// Drops oldest segments while more than half of the log is dead; then blobs that nothing refers to.
    async fn trim(&self) -> Result<()> {
        for _ in 0..=self.engine.log.published().segments().len() {
            let live = self.read(|reader| Ok(query::weight(reader.view)?.log)).await?;
            if self.engine.used_bytes() <= 2 * live + slack_bytes(self.engine.options.segment_bytes) {
                break;
            }
            self.drop_oldest().await?;
        }
        let (view, blobs) = (self.engine.view.clone(), self.engine.blobs.clone());
        blocking(move || view.sweep_blobs(&blobs)).await?.map_err(crate::view::ViewError::refuse_read)
    }

    async fn drop_oldest(&self) -> Result<()> {
        let _alone = self.deletions.write().await;
        if self.engine.log.published().segments().len() == 1 {
            self.engine.log.rotate()?.await?;
        }
        // A deletion whose caller has gone may still be in the queue: behind this record it is not.
        self.engine.log.append(&Group::of(log_kind::PROBE, &[]))?.await?;
        let oldest = self.engine.log.published().segments()[0].head.number;
        let mut from = Some(HEAD_BYTES);
        while let Some(at) = from {
            from = self.copy_some(oldest, at).await?;
        }
        self.engine.drop_copied(oldest).await
    }

    /// Copies some of what lives in segment `oldest` from `at` on; gives where to go on.
    async fn copy_some(&self, oldest: u32, at: u64) -> Result<Option<u64>> {
        let (copies, next) = self.read(move |reader| copies(reader, oldest, at)).await?;
        if !copies.is_empty() {
            self.engine.log.append(&copies)?.await?;
        }
        Ok(next)
    }
}

/// Copies of what lives in `segment` from `at` on, up to `COPY_BYTES`; and where to go on.
fn copies(reader: &mut Reader<'_>, segment: u32, at: u64) -> Result<(Group, Option<u64>), ReadError> {
    let (file, path, bytes, head) = walk::open(reader.log_folder(), segment)?;
    let damaged = |at, lsn, fault: &str| {
        Fault::from(crate::damage::Damage::new(
            &path,
            at,
            lsn,
            fault,
            "it was whole when the journal was opened",
        ))
    };
    let head = head.ok_or_else(|| damaged(0, 0, "the segment's head is damaged"))?;
    let mut walk = Walk::new(&file, &head, at, bytes);
    let mut group = Group::default();
    let mut runs = HashSet::new();
    loop {
        let at = walk.position();
        match walk.step().map_err(Fault::io(&path))? {
            Step::Record(record) if record.header.kind == log_kind::SEGMENT_END => return Ok((group, None)),
            Step::Record(record) => copy(reader, &record, &mut runs, &mut group)?,
            Step::Blank => return Err(damaged(at, 0, "zeros where a record should be").into()),
            Step::Bad(fault) => return Err(damaged(at, 0, fault).into()),
        }
        if group.bytes().len() >= COPY_BYTES {
            return Ok((group, Some(walk.position())));
        }
    }
}

/// Adds a copy of the record to the group, if something of it lives; `runs` are those with a copy in the group.
fn copy(
    reader: &mut Reader<'_>,
    record: &Record<'_>,
    runs: &mut HashSet<RunId>,
    group: &mut Group,
) -> Result<(), ReadError> {
    let unreadable = |cause| crate::view::ViewError::Record { lsn: record.header.lsn, cause };
    match record.header.kind {
        kind::EVENT => {
            let (facts, body) = stored::split::<EventFacts>(record.payload).map_err(unreadable)?;
            let slot = query::event(reader.view, &facts.run, facts.seq)?;
            let living = slot.filter(|slot| slot.place == record.place);
            // An event whose run is unknown now will stay so.
            let (Some(slot), Some(_)) = (living, query::run(reader.view, &facts.run)?) else { return Ok(()) };
            let moved = Some(Moved { origin: slot.version, birth: 0 });
            stored::push(group, kind::EVENT, &EventFacts { moved, ..facts }, body);
        }
        kind::RUN => {
            let (facts, body) = stored::split::<RunFacts>(record.payload).map_err(unreadable)?;
            let Some(row) = query::run(reader.view, &facts.id)? else { return Ok(()) };
            // That one says what this would.
            if runs.contains(&facts.id) {
                return Ok(());
            }
            let moved = Some(Moved { origin: row.slot.version, birth: row.birth });
            if row.slot.place == record.place {
                let principal = facts.principal.clone().or(row.principal);
                runs.insert(facts.id.clone());
                stored::push(group, kind::RUN, &RunFacts { moved, principal, ..facts }, body);
            } else if row.birth_at == record.header.lsn {
                // Also where the living one is further on in this segment: another may come in its place before the
                // walk is there, and would not say when the run was born.
                runs.insert(facts.id);
                copy_elsewhere(reader, row, moved, group)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Copies the living record of a run whose birth is on record only in the segment that goes.
fn copy_elsewhere(
    reader: &mut Reader<'_>,
    row: RunRow,
    moved: Option<Moved>,
    group: &mut Group,
) -> Result<(), ReadError> {
    let payload = reader.payload(&row.slot)?;
    let unreadable = |cause| crate::view::ViewError::Record { lsn: row.slot.version, cause };
    let (facts, body) = stored::split::<RunFacts>(&payload).map_err(unreadable)?;
    let principal = facts.principal.clone().or(row.principal);
    stored::push(group, kind::RUN, &RunFacts { moved, principal, ..facts }, body);
    Ok(())
}

#[cfg(test)]
mod tests;
