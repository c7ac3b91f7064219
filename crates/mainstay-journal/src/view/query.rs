//! Reading the view. Each function sees one commit, which ends at a whole append.

use mainstay_core::journal::{
    After, Cursor, EVENT_PAGE_BYTES_MAX, RUN_PAGE_BYTES_MAX, Retention, RunFilter, SessionFilter,
};
use mainstay_core::run::Session;
use mainstay_core::{Error, RunId, SessionId, codes};
use redb::{AccessGuard, Key, ReadTransaction, ReadableTable, StorageError};

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

/// The slots of the run's events after `after`, up to the page's bounds, and whether there are further ones; none for a
/// run that is not known.
pub(crate) fn events(
    read: &ReadTransaction,
    id: &RunId,
    after: u64,
    limit: usize,
) -> Result<(Vec<Slot>, bool)> {
    let mut slots = Vec::new();
    let Some(from) = after.checked_add(1) else { return Ok((slots, false)) };
    if run(read, id)?.is_none() {
        return Ok((slots, false));
    }
    let (from, to) = (event_key(id, from), event_key(id, u64::MAX));
    let events = read.open_table(table::EVENTS)?;
    let mut bytes = 0;
    for entry in events.range::<&[u8]>(from.as_slice()..=to.as_slice())? {
        let slot = Slot::decode(entry?.1.value());
        bytes += slot.weight().total();
        if slots.len() >= limit || (bytes > EVENT_PAGE_BYTES_MAX && !slots.is_empty()) {
            return Ok((slots, true));
        }
        slots.push(slot);
    }
    Ok((slots, false))
}

/// The rows of a page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<(RunId, RunRow)>,
    pub(crate) bytes: u64,
    pub(crate) next: Option<Cursor>,
}

/// The runs that match, in the order of the port, up to the page's bounds; `None` where `after` is unknown.
pub(crate) fn runs(read: &ReadTransaction, filter: &RunFilter) -> Result<Option<Page>> {
    let after = match &filter.after {
        None => None,
        Some(After::Page(Cursor(birth))) => Some(*birth),
        Some(After::Run(id)) => match run(read, id)? {
            None => return Ok(None),
            Some(row) => Some(row.birth),
        },
    };
    let below = after.unwrap_or(u64::MAX);
    let session = filter.session.as_ref().map_or("", SessionId::as_str);
    let births = read.open_table(if filter.unfinished { table::UNFINISHED } else { table::BIRTHS })?;
    let of_session = read.open_table(table::SESSION_RUNS)?;
    let ids: Ids<'_> = match (&filter.session, filter.newest_first) {
        (None, _) => Box::new(births.range(..below)?.rev().map(value)),
        (Some(_), true) => Box::new(of_session.range((session, 0)..(session, below))?.rev().map(value)),
        (Some(_), false) => {
            let from = after.map_or(0, |birth| birth.saturating_add(1));
            Box::new(of_session.range((session, from)..=(session, u64::MAX))?.map(value))
        }
    };
    let rows = read.open_table(table::RUNS)?;
    let mut page = Page::default();
    for id in ids {
        let id = id?;
        let row = rows.get(id.value())?.map(|row| RunRow::decode(row.value())).transpose()?;
        let found = RunId::parse(id.value()).zip(row);
        if found.is_some_and(|(id, row)| page.take(filter, id, row)) {
            break;
        }
    }
    Ok(Some(page))
}

type Ids<'a> = Box<dyn Iterator<Item = Result<AccessGuard<'a, &'static str>, StorageError>> + 'a>;

/// An entry without its key.
fn value<'a, K: Key + 'static>(
    entry: Result<(AccessGuard<'a, K>, AccessGuard<'a, &'static str>), StorageError>,
) -> Result<AccessGuard<'a, &'static str>, StorageError> {
    entry.map(|(_, value)| value)
}

impl Page {
    /// Takes the run if it matches; says whether the page is full.
    fn take(&mut self, filter: &RunFilter, id: RunId, row: RunRow) -> bool {
        let matches = filter.principal.as_ref().is_none_or(|label| row.principal.as_ref() == Some(label))
            && filter.agent.as_ref().is_none_or(|agent| *agent == row.agent)
            && filter.status.is_none_or(|status| status == row.status)
            && (!filter.unfinished || !row.status.is_final());
        if !matches {
            return false;
        }
        let bytes = self.bytes + row.slot.weight().total();
        if let Some((_, last)) = self.rows.last()
            && bytes > RUN_PAGE_BYTES_MAX
        {
            self.next = Some(Cursor(last.birth));
            return true;
        }
        let birth = row.birth;
        self.bytes = bytes;
        self.rows.push((id, row));
        let full = self.rows.len() >= filter.limit.clamp(1, PAGE_MAX);
        self.next = full.then_some(Cursor(birth));
        full
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
        principal: row.principal.unwrap_or_default(),
        created_ms: row.created_ms,
        updated_ms,
        runs,
    }))
}

/// Sessions that match, last used first; `None` where `after` is unknown.
pub(crate) fn sessions(read: &ReadTransaction, filter: &SessionFilter) -> Result<Option<Vec<Session>>> {
    let by_use = read.open_table(table::SESSIONS_BY_USE)?;
    let start = match &filter.after {
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
    for entry in range.rev() {
        let (key, _) = entry?;
        let id = SessionId::parse(key.value().1);
        let found = id.map(|id| session(read, &id)).transpose()?.flatten();
        page.extend(found.filter(|found| filter.principal.as_ref().is_none_or(|l| *l == found.principal)));
        if page.len() >= filter.limit.clamp(1, PAGE_MAX) {
            break;
        }
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
