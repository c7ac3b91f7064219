//! Reading the view. Each function sees one commit, which ends at a whole append.

use mainstay_core::journal::{Retention, RunFilter};
use mainstay_core::run::Session;
use mainstay_core::{Error, RunId, SessionId, codes};
use redb::{ReadTransaction, ReadableTable};

use super::ViewError;
use super::table::{self, META, RunRow, Slot, Weight, event_key, meta};

type Result<T, E = ViewError> = std::result::Result<T, E>;

/// Most runs or sessions of one page.
pub(crate) const PAGE_MAX: usize = 1_000;

/// A run's row.
pub(crate) fn run(read: &ReadTransaction, id: &RunId) -> Result<Option<RunRow>> {
    let runs = read.open_table(table::RUNS)?;
    let row = runs.get(id.as_str())?;
    Ok(row.map(|row| RunRow::decode(row.value())).transpose()?)
}

/// The event's slot.
pub(crate) fn event(read: &ReadTransaction, run: &RunId, seq: u64) -> Result<Option<Slot>> {
    let events = read.open_table(table::EVENTS)?;
    let slot = events.get(event_key(run, seq).as_slice())?;
    Ok(slot.map(|slot| Slot::decode(slot.value())))
}

/// The slots of the run's events after `after`; none for a run that is not known.
pub(crate) fn events(read: &ReadTransaction, id: &RunId, after: u64, limit: usize) -> Result<Vec<Slot>> {
    let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
    if run(read, id)?.is_none() {
        return Ok(Vec::new());
    }
    let (from, to) = (event_key(id, from), event_key(id, u64::MAX));
    let events = read.open_table(table::EVENTS)?;
    let range = events.range::<&[u8]>(from.as_slice()..=to.as_slice())?;
    range.take(limit).map(|entry| Ok(Slot::decode(entry?.1.value()))).collect()
}

/// The runs that match, in the order of the port; `None` where `after` is unknown.
pub(crate) fn runs(read: &ReadTransaction, filter: &RunFilter) -> Result<Option<Vec<(RunId, RunRow)>>> {
    let after = match &filter.after {
        None => None,
        Some(id) => match run(read, id)? {
            None => return Ok(None),
            Some(row) => Some(row.birth),
        },
    };
    let rows = read.open_table(table::RUNS)?;
    let mut page = Page { filter, limit: filter.limit.clamp(1, PAGE_MAX), rows: Vec::new() };
    let mut take = |id: &str| -> Result<bool> {
        let row = rows.get(id)?.map(|row| RunRow::decode(row.value())).transpose()?;
        Ok(RunId::parse(id).zip(row).is_some_and(|(id, row)| page.take(id, row)))
    };
    if let Some(session) = &filter.session {
        let session = session.as_str();
        let of_session = read.open_table(table::SESSION_RUNS)?;
        let from = after.map_or(0, |birth| birth + 1);
        for entry in of_session.range((session, from)..=(session, u64::MAX))? {
            if take(entry?.1.value())? {
                break;
            }
        }
    } else {
        let births = read.open_table(if filter.unfinished { table::UNFINISHED } else { table::BIRTHS })?;
        for entry in births.range(..after.unwrap_or(u64::MAX))?.rev() {
            if take(entry?.1.value())? {
                break;
            }
        }
    }
    Ok(Some(page.rows))
}

struct Page<'a> {
    filter: &'a RunFilter,
    limit: usize,
    rows: Vec<(RunId, RunRow)>,
}

impl Page<'_> {
    /// Takes the run if it matches; says whether the page is full.
    fn take(&mut self, id: RunId, row: RunRow) -> bool {
        let filter = self.filter;
        let matches = filter.agent.as_ref().is_none_or(|agent| *agent == row.agent)
            && filter.status.is_none_or(|status| status == row.status)
            && (!filter.unfinished || !row.status.is_final());
        if matches {
            self.rows.push((id, row));
        }
        self.rows.len() >= self.limit
    }
}

/// The session, derived from its runs.
pub(crate) fn session(read: &ReadTransaction, id: &SessionId) -> Result<Option<Session>> {
    let known = read.open_table(table::SESSIONS)?.get(id.as_str())?.map(|known| known.value());
    let Some((updated_ms, runs)) = known else { return Ok(None) };
    let of_session = read.open_table(table::SESSION_RUNS)?;
    let first = of_session.range((id.as_str(), 0)..=(id.as_str(), u64::MAX))?.next().transpose()?;
    let first = first.and_then(|(_, run)| RunId::parse(run.value()));
    let row = first.map(|first| run(read, &first)).transpose()?.flatten();
    Ok(row.map(|row| Session {
        id: id.clone(),
        agent: row.agent,
        created_ms: row.created_ms,
        updated_ms,
        runs,
    }))
}

/// Sessions, last used first; `None` where `after` is unknown.
pub(crate) fn sessions(
    read: &ReadTransaction,
    after: Option<&SessionId>,
    limit: usize,
) -> Result<Option<Vec<Session>>> {
    let by_use = read.open_table(table::SESSIONS_BY_USE)?;
    let start = match after {
        None => None,
        Some(id) => match session(read, id)? {
            None => return Ok(None),
            Some(known) => Some((known.updated_ms, id.as_str())),
        },
    };
    let range = match start {
        None => by_use.iter()?,
        Some(start) => by_use.range(..start)?,
    };
    let mut page = Vec::new();
    for entry in range.rev().take(limit.clamp(1, PAGE_MAX)) {
        let (key, _) = entry?;
        let id = SessionId::parse(key.value().1);
        page.extend(id.map(|id| session(read, &id)).transpose()?.flatten());
    }
    Ok(Some(page))
}

/// What the living records weigh.
pub(crate) fn weight(read: &ReadTransaction) -> Result<Weight> {
    let meta_table = read.open_table(META)?;
    let number = |name: &str| -> Result<u64> { Ok(meta_table.get(name)?.map_or(0, |value| value.value())) };
    Ok(Weight { log: number(meta::LOG_BYTES)?, blob: number(meta::BLOB_BYTES)? })
}

/// The final runs that `keep` does not keep, oldest change first.
pub(crate) fn to_forget(read: &ReadTransaction, keep: Retention) -> Result<Vec<RunId>> {
    let mut kept = weight(read)?.total();
    let finished = read.open_table(table::FINISHED)?;
    let mut forget = Vec::new();
    for entry in finished.iter()? {
        let (key, id) = entry?;
        if key.value().0 >= keep.before_ms && kept <= keep.bytes_max {
            break;
        }
        let Some(id) = RunId::parse(id.value()) else { continue };
        kept -= run(read, &id)?.map_or(0, |row| row.weight.total());
        forget.push(id);
    }
    Ok(forget)
}

/// Whether a living record refers to the blob.
pub(crate) fn refers_to(read: &ReadTransaction, hash: &crate::blob::Hash) -> Result<bool> {
    Ok(read.open_table(table::BLOBS)?.get(hash.as_slice())?.is_some())
}

/// The error for a page after something that is not there.
pub(crate) fn unknown_after(id: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("`{id}` is not in the list to continue after it"))
        .with_field("after")
        .with_help("start the list again without `after`")
}
