//! Turning records into rows, inside one write transaction. The same records always give the same rows.

use std::collections::HashMap;
use std::sync::Arc;

use mainstay_core::{RunId, SessionId};
use redb::{ReadableTable, Table, WriteTransaction};

use super::references::References;
use super::table::{self, META, RunRow, Slot, Weight, event_key, meta};
use super::{Apply, BlobChanges, Tables, ViewError};
use crate::blob::Blobs;
use crate::log::walk::Record;
use crate::log::{End, Lsn, record};
use crate::stored::{self, EventFacts, Forgotten, Moved, RunFacts, SessionDeleted};

/// The view of the record of runs.
#[derive(Debug)]
pub(crate) struct Runs {
    /// Where large bodies are, to be asked for what the facts of former versions do not say.
    pub(crate) bodies: Arc<Blobs>,
}

impl Tables for Runs {
    const FORMAT: u64 = table::FORMAT;
    type Apply<'t> = Rows<'t>;

    fn create(write: &WriteTransaction) -> Result<()> {
        write.open_table(table::RUNS)?;
        write.open_table(table::EVENTS)?;
        write.open_table(table::BIRTHS)?;
        write.open_table(table::UNFINISHED)?;
        write.open_table(table::FINISHED)?;
        write.open_table(table::SESSION_RUNS)?;
        write.open_table(table::SESSIONS)?;
        write.open_table(table::SESSIONS_BY_USE)?;
        Ok(())
    }

    fn begin<'t>(&'t self, write: &'t WriteTransaction) -> Result<Rows<'t>> {
        Rows::new(write, &self.bodies)
    }
}

/// The tables, open for one transaction.
pub(crate) struct Rows<'t> {
    bodies: &'t Blobs,
    runs: Table<'t, &'static str, &'static [u8]>,
    events: Table<'t, &'static [u8], &'static [u8]>,
    births: Table<'t, u64, &'static str>,
    unfinished: Table<'t, u64, &'static str>,
    finished: Table<'t, (u64, u64), &'static str>,
    session_runs: Table<'t, (&'static str, u64), &'static str>,
    sessions: Table<'t, &'static str, (u64, u64)>,
    sessions_by_use: Table<'t, (u64, &'static str), ()>,
    references: References<'t>,
    meta: Table<'t, &'static str, u64>,
    /// Rows of runs that this transaction touched; written back by `finish`.
    touched: HashMap<RunId, Option<RunRow>>,
    weight: Weight,
}

type Result<T, E = ViewError> = std::result::Result<T, E>;

impl<'t> Rows<'t> {
    fn new(write: &'t WriteTransaction, bodies: &'t Blobs) -> Result<Self> {
        let meta = write.open_table(META)?;
        let number = |name: &str| -> Result<u64> { Ok(meta.get(name)?.map_or(0, |value| value.value())) };
        let weight = Weight { log: number(meta::LOG_BYTES)?, blob: number(meta::BLOB_BYTES)? };
        Ok(Self {
            bodies,
            runs: write.open_table(table::RUNS)?,
            events: write.open_table(table::EVENTS)?,
            births: write.open_table(table::BIRTHS)?,
            unfinished: write.open_table(table::UNFINISHED)?,
            finished: write.open_table(table::FINISHED)?,
            session_runs: write.open_table(table::SESSION_RUNS)?,
            sessions: write.open_table(table::SESSIONS)?,
            sessions_by_use: write.open_table(table::SESSIONS_BY_USE)?,
            references: References::open(write)?,
            meta,
            touched: HashMap::new(),
            weight,
        })
    }

    fn event(&mut self, facts: &EventFacts, lsn: Lsn, record: &Record<'_>) -> Result<()> {
        let slot = self.arrive(record, lsn, facts.blob, facts.moved)?;
        let key = event_key(&facts.run, facts.seq);
        let known = self.events.get(key.as_slice())?.map(|known| Slot::decode(known.value()));
        if known.is_some_and(|known| known.version > slot.version) {
            return self.release(&slot);
        }
        self.events.insert(key.as_slice(), slot.encode().as_slice())?;
        let gone = known.map_or_else(Weight::default, |known| known.weight());
        if let Some(row) = self.row(&facts.run)? {
            row.weight.add(slot.weight());
            row.weight.remove(gone);
            self.weight.add(slot.weight());
            self.weight.remove(gone);
        }
        known.map_or(Ok(()), |known| self.release(&known))
    }

    fn run(&mut self, facts: RunFacts, lsn: Lsn, record: &Record<'_>) -> Result<()> {
        let slot = self.arrive(record, lsn, facts.blob, facts.moved)?;
        let known = self.row(&facts.id)?.cloned();
        let (birth, birth_at) = match (&facts.moved, &known) {
            (Some(moved), _) => (moved.birth, lsn),
            (None, Some(known)) => (known.birth, known.birth_at),
            (None, None) => (lsn, lsn),
        };
        let whose = known.as_ref().and_then(|known| known.principal.clone());
        let principal = facts.principal.clone().or(whose);
        let next = match &known {
            // A copy of a record that has been superseded still says when the run was born.
            Some(newer) if newer.slot.version > slot.version => {
                self.release(&slot)?;
                RunRow { birth, birth_at, principal, ..newer.clone() }
            }
            _ => {
                let mut weight =
                    known.as_ref().map_or_else(|| self.events_weight(&facts.id), |k| Ok(k.weight))?;
                weight.add(slot.weight());
                if let Some(known) = &known {
                    weight.remove(known.slot.weight());
                    self.release(&known.slot)?;
                }
                let RunFacts { agent, session, status, created_ms, updated_ms, .. } = facts.clone();
                RunRow {
                    agent,
                    session,
                    principal,
                    status,
                    created_ms,
                    updated_ms,
                    birth,
                    birth_at,
                    slot,
                    weight,
                }
            }
        };
        self.replace(&facts.id, known, Some(next))
    }

    /// Whose run it is, from the body of a former version's record. A body that cannot be read says nothing: the blob
    /// of a superseded record is gone by right, and damage is told to whoever reads the run.
    fn principal_in(&self, body: &[u8], facts: &RunFacts) -> Option<String> {
        let Some(blob) = &facts.blob else { return stored::principal(body).ok() };
        match self.bodies.get(blob) {
            Ok(content) => content.and_then(|content| stored::principal(&content).ok()),
            Err(fault) => {
                tracing::warn!(run = %facts.id, %fault, "whose run it is cannot be read");
                None
            }
        }
    }

    /// Forgets a run and its events, also events that came before their run.
    fn forget(&mut self, id: &RunId) -> Result<()> {
        if let Some(known) = self.row(id)?.cloned() {
            self.release(&known.slot)?;
            self.replace(id, Some(known), None)?;
        }
        let (from, to) = (event_key(id, 0), event_key(id, u64::MAX));
        let mut gone = Vec::new();
        self.events.retain_in::<&[u8], _>(from.as_slice()..=to.as_slice(), |_, slot| {
            gone.push(Slot::decode(slot));
            false
        })?;
        gone.iter().try_for_each(|slot| self.release(slot))
    }

    /// Puts `next` in the place of `known`, in every index.
    fn replace(&mut self, id: &RunId, known: Option<RunRow>, next: Option<RunRow>) -> Result<()> {
        if let Some(known) = &known {
            self.weight.remove(known.weight);
            self.births.remove(known.birth)?;
            self.unfinished.remove(known.birth)?;
            self.finished.remove((known.updated_ms, known.birth))?;
        }
        if let Some(next) = &next {
            self.weight.add(next.weight);
            self.births.insert(next.birth, id.as_str())?;
            if next.status.is_final() {
                self.finished.insert((next.updated_ms, next.birth), id.as_str())?;
            } else {
                self.unfinished.insert(next.birth, id.as_str())?;
            }
        }
        let session = |row: &Option<RunRow>| row.as_ref().and_then(|row| row.session.clone());
        let birth = |row: &Option<RunRow>| row.as_ref().map_or(0, |row| row.birth);
        let (before, after) = (session(&known), session(&next));
        let (birth_before, birth_after) = (birth(&known), birth(&next));
        self.touched.insert(id.clone(), next);
        if let Some(before) = &before {
            self.session_runs.remove((before.as_str(), birth_before))?;
        }
        if let Some(after) = &after {
            self.session_runs.insert((after.as_str(), birth_after), id.as_str())?;
        }
        if before != after {
            before.map_or(Ok(()), |session| self.session_lost(&session, known.as_ref()))?;
        }
        let same = known.filter(|known| known.session == after);
        after.map_or(Ok(()), |session| self.session_gained(&session, id, same.as_ref()))
    }

    /// A run of the session is new, or changed from what `before` says.
    fn session_gained(&mut self, session: &SessionId, id: &RunId, before: Option<&RunRow>) -> Result<()> {
        let known = self.session(session)?;
        let (used_ms, runs) = known.unwrap_or((0, 0));
        let updated_ms = self.row(id)?.map_or(0, |row| row.updated_ms);
        let was_latest = before.is_some_and(|before| before.updated_ms == used_ms && updated_ms < used_ms);
        let used_now = if was_latest { self.latest_use(session)? } else { used_ms.max(updated_ms) };
        let runs = runs + u64::from(before.is_none());
        self.set_session(session, known, Some((used_now, runs)))
    }

    /// The session has lost the run `gone`.
    fn session_lost(&mut self, session: &SessionId, gone: Option<&RunRow>) -> Result<()> {
        let Some((used_ms, runs)) = self.session(session)? else { return Ok(()) };
        let next = if runs <= 1 {
            None
        } else if gone.is_some_and(|gone| gone.updated_ms == used_ms) {
            Some((self.latest_use(session)?, runs - 1))
        } else {
            Some((used_ms, runs - 1))
        };
        self.set_session(session, Some((used_ms, runs)), next)
    }

    fn session(&self, session: &SessionId) -> Result<Option<(u64, u64)>> {
        Ok(self.sessions.get(session.as_str())?.map(|known| known.value()))
    }

    fn set_session(
        &mut self,
        session: &SessionId,
        known: Option<(u64, u64)>,
        next: Option<(u64, u64)>,
    ) -> Result<()> {
        let id = session.as_str();
        if let Some((used_ms, _)) = known {
            self.sessions_by_use.remove((used_ms, id))?;
        }
        match next {
            None => drop(self.sessions.remove(id)?),
            Some(next) => {
                self.sessions.insert(id, next)?;
                self.sessions_by_use.insert((next.0, id), ())?;
            }
        }
        Ok(())
    }

    /// The latest change among the session's runs.
    fn latest_use(&mut self, session: &SessionId) -> Result<u64> {
        let mut latest = 0;
        for id in self.session_runs_of(session)? {
            latest = latest.max(self.row(&id)?.map_or(0, |row| row.updated_ms));
        }
        Ok(latest)
    }

    fn session_runs_of(&self, session: &SessionId) -> Result<Vec<RunId>> {
        let id = session.as_str();
        let mut runs = Vec::new();
        for entry in self.session_runs.range((id, 0)..=(id, u64::MAX))? {
            runs.extend(RunId::parse(entry?.1.value()));
        }
        Ok(runs)
    }

    /// The run's row, to be read or changed.
    fn row(&mut self, id: &RunId) -> Result<Option<&mut RunRow>> {
        if !self.touched.contains_key(id) {
            let row = self.runs.get(id.as_str())?.map(|row| RunRow::decode(row.value())).transpose()?;
            self.touched.insert(id.clone(), row);
        }
        Ok(self.touched.get_mut(id).and_then(Option::as_mut))
    }

    /// What events weigh that came before their run.
    fn events_weight(&self, id: &RunId) -> Result<Weight> {
        let (from, to) = (event_key(id, 0), event_key(id, u64::MAX));
        let mut weight = Weight::default();
        for entry in self.events.range::<&[u8]>(from.as_slice()..=to.as_slice())? {
            weight.add(Slot::decode(entry?.1.value()).weight());
        }
        Ok(weight)
    }

    /// The slot of a record that has come, with its reference to a blob counted.
    fn arrive(
        &mut self,
        record: &Record<'_>,
        lsn: Lsn,
        blob: Option<crate::blob::BlobRef>,
        moved: Option<Moved>,
    ) -> Result<Slot> {
        if let Some(blob) = &blob {
            self.references.arrive(blob, moved.is_some())?;
        }
        Ok(Slot { place: record.place, version: moved.map_or(lsn, |moved| moved.origin), blob })
    }

    /// The record in the slot lives no more.
    fn release(&mut self, slot: &Slot) -> Result<()> {
        slot.blob.as_ref().map_or(Ok(()), |blob| self.references.release(blob))
    }
}

impl Apply for Rows<'_> {
    fn record(&mut self, record: &Record<'_>) -> Result<()> {
        use crate::stored::kind;
        let lsn = record.header.lsn;
        let unreadable = |cause| ViewError::Record { lsn, cause };
        match record.header.kind {
            kind::EVENT => {
                let (facts, _) = stored::split::<EventFacts>(record.payload).map_err(unreadable)?;
                self.event(&facts, lsn, record)
            }
            kind::RUN => {
                let (mut facts, body) = stored::split::<RunFacts>(record.payload).map_err(unreadable)?;
                if facts.principal.is_none() {
                    facts.principal = self.principal_in(body, &facts);
                }
                self.run(facts, lsn, record)
            }
            kind::SESSION_DELETED => {
                let (facts, _) = stored::split::<SessionDeleted>(record.payload).map_err(unreadable)?;
                self.session_runs_of(&facts.session)?.iter().try_for_each(|run| self.forget(run))
            }
            kind::FORGOTTEN => {
                let (facts, _) = stored::split::<Forgotten>(record.payload).map_err(unreadable)?;
                facts.runs.iter().try_for_each(|run| self.forget(run))
            }
            record::kind::SEGMENT_END | record::kind::TRIMMED | record::kind::PROBE => Ok(()),
            kind => Err(ViewError::Kind { lsn, kind }),
        }
    }

    fn finish(mut self, end: End) -> Result<BlobChanges> {
        for (id, row) in self.touched.drain() {
            match row {
                Some(row) => drop(self.runs.insert(id.as_str(), row.encode().as_slice())?),
                None => drop(self.runs.remove(id.as_str())?),
            }
        }
        self.meta.insert(meta::LOG_BYTES, self.weight.log)?;
        self.meta.insert(meta::BLOB_BYTES, self.weight.blob)?;
        note_end(&mut self.meta, end)?;
        Ok(self.references.finish())
    }
}

/// Notes in `write` that everything up to `end` is applied.
pub(crate) fn note_applied(write: &WriteTransaction, end: End) -> Result<()> {
    note_end(&mut write.open_table(META)?, end)
}

pub(crate) fn note_end(meta_table: &mut Table<'_, &'static str, u64>, end: End) -> Result<()> {
    meta_table.insert(meta::APPLIED_LSN, end.lsn)?;
    meta_table.insert(meta::APPLIED_SEGMENT, u64::from(end.segment))?;
    meta_table.insert(meta::APPLIED_OFFSET, end.offset)?;
    Ok(())
}
