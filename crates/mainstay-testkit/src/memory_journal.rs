//! A `RunJournal` that keeps everything in memory, for the tests of engines and surfaces.
//!
//! It keeps every promise of the port but durability, and can be told to fail. It is no model of the embedded
//! journal's speed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use mainstay_core::journal::{
    After, Cursor, EVENT_PAGE_BYTES_MAX, EventPage, Purged, RUN_PAGE_BYTES_MAX, Retention, RunFilter,
    RunJournal, RunPage, RunRecord, SessionFilter,
};
use mainstay_core::run::{Run, RunError, RunEvent, RunInput, Session};
use mainstay_core::{Ctx, Error, Result, Retry, RunId, SessionId, codes};

/// Most runs of one page.
const PAGE_MAX: usize = 1_000;

/// The journal. Share it as `Arc<MemoryJournal>`.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    unavailable: bool,
    births: u64,
    runs: HashMap<RunId, (u64, Run)>,
    by_birth: BTreeMap<u64, RunId>,
    events: BTreeMap<(RunId, u64), RunEvent>,
    /// Records that cannot be read: of a run at number 0, else of its event.
    damaged: BTreeSet<(RunId, u64)>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on (or until told otherwise) appends and probes fail with `JOURNAL_UNAVAILABLE`, as after a failed
    /// sync; reads go on.
    pub fn set_available(&self, available: bool) {
        self.kept().unavailable = !available;
    }

    /// From now on the run's record cannot be read, until it is written again.
    pub fn damage_run(&self, id: &RunId) {
        self.kept().damaged.insert((id.clone(), 0));
    }

    /// From now on the run's event cannot be read, until it is written again.
    pub fn damage_event(&self, id: &RunId, seq: u64) {
        self.kept().damaged.insert((id.clone(), seq));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn writable(&self) -> Result<MutexGuard<'_, Kept>> {
        let kept = self.kept();
        if kept.unavailable {
            let failed = Error::new(&codes::JOURNAL_UNAVAILABLE, "the record of runs cannot be written");
            return Err(failed.with_retry(Retry::Permanent));
        }
        Ok(kept)
    }
}

#[async_trait]
impl RunJournal for MemoryJournal {
    async fn append(&self, _: &Ctx, records: Vec<RunRecord>) -> Result<()> {
        let mut kept = self.writable()?;
        records.iter().try_for_each(RunRecord::check)?;
        records.into_iter().for_each(|record| kept.apply(record));
        Ok(())
    }

    async fn run(&self, _: &Ctx, id: &RunId) -> Result<Option<Run>> {
        let kept = self.kept();
        let Some((_, run)) = kept.runs.get(id) else { return Ok(None) };
        if kept.damaged.contains(&(id.clone(), 0)) { Err(unreadable()) } else { Ok(Some(run.clone())) }
    }

    async fn events(&self, _: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage> {
        let kept = self.kept();
        let mut page = EventPage::default();
        if !kept.runs.contains_key(id) || after == u64::MAX {
            return Ok(page);
        }
        let range = (id.clone(), after + 1)..=(id.clone(), u64::MAX);
        let mut bytes = 0;
        for (key, event) in kept.events.range(range) {
            bytes += json_bytes(event);
            if page.events.len() >= limit || (bytes > EVENT_PAGE_BYTES_MAX && !page.events.is_empty()) {
                page.more = true;
                break;
            }
            if kept.damaged.contains(key) {
                return Err(unreadable());
            }
            page.events.push(event.clone());
        }
        Ok(page)
    }

    async fn runs(&self, _: &Ctx, filter: &RunFilter) -> Result<RunPage> {
        let kept = self.kept();
        let after = match &filter.after {
            None => None,
            Some(After::Page(Cursor(birth))) => Some(*birth),
            Some(After::Run(id)) => Some(kept.birth_of(id)?),
        };
        let all = kept.by_birth.iter().map(|(birth, id)| (*birth, &kept.runs[id].1));
        let matching = all.filter(|(_, run)| matches(filter, run));
        if filter.session.is_some() && !filter.newest_first {
            Ok(kept.page(filter, matching.filter(|(birth, _)| after.is_none_or(|a| *birth > a))))
        } else {
            Ok(kept.page(filter, matching.rev().filter(|(birth, _)| after.is_none_or(|a| *birth < a))))
        }
    }

    async fn sessions(&self, _: &Ctx, filter: &SessionFilter) -> Result<Vec<Session>> {
        let mut all = self.kept().sessions();
        all.sort_by(|a, b| (b.updated_ms, &b.id).cmp(&(a.updated_ms, &a.id)));
        let start = match &filter.after {
            None => 0,
            Some(id) => 1 + all.iter().position(|s| s.id == *id).ok_or_else(|| unknown_after(id.as_str()))?,
        };
        let matching = all.into_iter().skip(start).filter(|s| is_of(filter.principal.as_ref(), &s.principal));
        Ok(matching.take(filter.limit.clamp(1, PAGE_MAX)).collect())
    }

    async fn session(&self, _: &Ctx, id: &SessionId) -> Result<Option<Session>> {
        Ok(self.kept().sessions().into_iter().find(|s| s.id == *id))
    }

    async fn purge(&self, _: &Ctx, keep: Retention) -> Result<Purged> {
        let mut kept = self.writable()?;
        let mut finished: Vec<_> = kept
            .runs
            .values()
            .filter(|(_, run)| run.status.is_final())
            .map(|(birth, run)| (run.updated_ms, *birth, run.id.clone()))
            .collect();
        finished.sort();
        let mut purged = Purged { runs: 0, bytes_kept: kept.bytes() };
        for (updated_ms, _, id) in finished {
            if updated_ms >= keep.before_ms && purged.bytes_kept <= keep.bytes_max {
                break;
            }
            kept.forget(&id);
            purged = Purged { runs: purged.runs + 1, bytes_kept: kept.bytes() };
        }
        Ok(purged)
    }

    async fn probe(&self, _: &Ctx) -> Result<()> {
        self.writable().map(drop)
    }
}

impl Kept {
    fn apply(&mut self, record: RunRecord) {
        match record {
            RunRecord::Run(run) => {
                self.damaged.remove(&(run.id.clone(), 0));
                let next = self.births + 1;
                let birth = self.runs.get(&run.id).map_or(next, |(birth, _)| *birth);
                self.births = self.births.max(birth);
                self.by_birth.insert(birth, run.id.clone());
                self.runs.insert(run.id.clone(), (birth, *run));
            }
            RunRecord::Event { run, event } => {
                self.damaged.remove(&(run.clone(), event.seq));
                self.events.insert((run, event.seq), event);
            }
            RunRecord::SessionDeleted { session } => {
                let of_session = self.runs.values().filter(|(_, run)| run.session.as_ref() == Some(&session));
                let ids: Vec<RunId> = of_session.map(|(_, run)| run.id.clone()).collect();
                ids.iter().for_each(|id| self.forget(id));
            }
        }
    }

    fn page<'a>(&self, filter: &RunFilter, runs: impl Iterator<Item = (u64, &'a Run)>) -> RunPage {
        let mut page = RunPage::default();
        for (birth, run) in runs {
            let bytes = page.bytes + json_bytes(run);
            if bytes > RUN_PAGE_BYTES_MAX && !page.runs.is_empty() {
                return page;
            }
            (page.bytes, page.next) = (bytes, Some(Cursor(birth)));
            if self.damaged.contains(&(run.id.clone(), 0)) {
                page.unreadable.push(run.id.clone());
                page.runs.push(as_indexed(run));
            } else {
                page.runs.push(run.clone());
            }
            if page.runs.len() >= filter.limit.clamp(1, PAGE_MAX) {
                return page;
            }
        }
        RunPage { next: None, ..page }
    }

    fn forget(&mut self, id: &RunId) {
        if let Some((birth, _)) = self.runs.remove(id) {
            self.by_birth.remove(&birth);
        }
        self.events.retain(|(run, _), _| run != id);
        self.damaged.retain(|(run, _)| run != id);
    }

    fn birth_of(&self, id: &RunId) -> Result<u64> {
        self.runs.get(id).map(|(birth, _)| *birth).ok_or_else(|| unknown_after(id.as_str()))
    }

    fn sessions(&self) -> Vec<Session> {
        let mut sessions: BTreeMap<SessionId, Session> = BTreeMap::new();
        for id in self.by_birth.values() {
            let run = &self.runs[id].1;
            let Some(id) = run.session.clone() else { continue };
            let session = sessions.entry(id.clone()).or_insert_with(|| Session {
                id,
                agent: run.agent.clone(),
                principal: run.principal.clone(),
                created_ms: run.created_ms,
                updated_ms: run.updated_ms,
                runs: 0,
            });
            session.runs += 1;
            session.updated_ms = session.updated_ms.max(run.updated_ms);
        }
        sessions.into_values().collect()
    }

    fn bytes(&self) -> u64 {
        let runs = self.runs.values().map(|(_, run)| json_bytes(run));
        let events = self.events.iter().filter(|((run, _), _)| self.runs.contains_key(run));
        runs.chain(events.map(|(_, event)| json_bytes(event))).sum()
    }
}

/// What an index knows of a run whose record cannot be read.
fn as_indexed(run: &Run) -> Run {
    let error = unreadable();
    Run {
        background: false,
        input: RunInput::default(),
        messages: Vec::new(),
        answer: None,
        model: None,
        finish_reason: None,
        error: Some(RunError::from(&error)),
        usage: mainstay_core::model::Usage::default(),
        steps: 0,
        ..run.clone()
    }
}

fn unreadable() -> Error {
    Error::new(&codes::JOURNAL_CORRUPT, "a part of the record of runs is damaged and cannot be read")
}

fn is_of(wanted: Option<&String>, label: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == label)
}

fn matches(filter: &RunFilter, run: &Run) -> bool {
    is_of(filter.principal.as_ref(), &run.principal)
        && filter.agent.as_ref().is_none_or(|agent| *agent == run.agent)
        && filter.session.as_ref().is_none_or(|session| Some(session) == run.session.as_ref())
        && filter.status.is_none_or(|status| status == run.status)
        && (!filter.unfinished || !run.status.is_final())
}

fn unknown_after(id: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("`{id}` is not in the list to continue after it"))
        .with_field("after")
        .with_help("start the list again without `after`")
}

fn json_bytes(value: &impl serde::Serialize) -> u64 {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len() as u64)
}
