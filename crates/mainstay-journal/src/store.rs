//! The journal as the `RunJournal` port: records in, runs, events and sessions out.

use std::path::Path;

use async_trait::async_trait;
use mainstay_core::journal::{
    After, EventPage, Purged, Retention, RunFilter, RunJournal, RunPage, RunRecord, SessionFilter,
};
use mainstay_core::run::{Run, Session};
use mainstay_core::{Ctx, Error, Result, RunId, SessionId};
use redb::ReadTransaction;
use serde::de::DeserializeOwned;

use crate::blob::{Blobs, Large};
use crate::damage::{Damage, Fault};
use crate::engine::blocking;
use crate::journal::Journal;
use crate::log::record::{self, Group};
use crate::log::segment;
use crate::log::walk::Fetch;
use crate::stored::{self, Bodies, EventFacts, RunFacts, SessionDeleted, kind};
use crate::view::table::Slot;
use crate::view::{ViewError, query};

/// Times that a read starts over because what it was about to read moved.
const READ_ATTEMPTS: u32 = 5;

#[async_trait]
impl RunJournal for Journal {
    async fn append(&self, _: &Ctx, records: Vec<RunRecord>) -> Result<()> {
        let deletes = records.iter().any(|record| matches!(record, RunRecord::SessionDeleted { .. }));
        let _deletion = if deletes { Some(self.deletions.read().await) } else { None };
        let (group, large) = encode(&records, self.engine.options.inline_bytes_max)?;
        if group.is_empty() {
            return Ok(());
        }
        let pins = if large.is_empty() { None } else { Some(self.engine.put(large).await?) };
        let acknowledged =
            self.engine.log.append(&group).inspect_err(|error| self.engine.count_overload(error))?;
        if let Some(pins) = pins {
            pins.hand_over();
        }
        acknowledged.await
    }

    async fn run(&self, _: &Ctx, id: &RunId) -> Result<Option<Run>> {
        let id = id.clone();
        self.read(move |reader| {
            let row = query::run(reader.view, &id)?;
            row.map(|row| reader.content(&row.slot)).transpose()
        })
        .await
    }

    async fn events(&self, _: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage> {
        let id = id.clone();
        self.read(move |reader| {
            let (slots, more) = query::events(reader.view, &id, after, limit)?;
            let events = slots.iter().map(|slot| reader.content(slot)).collect::<Result<_, _>>()?;
            Ok(EventPage { events, more })
        })
        .await
    }

    async fn runs(&self, _: &Ctx, filter: &RunFilter) -> Result<RunPage> {
        let wanted = filter.clone();
        let found = self.read(move |reader| {
            let Some(page) = query::runs(reader.view, &wanted)? else { return Ok(None) };
            reader.page(page).map(Some)
        });
        let after = match &filter.after {
            Some(After::Run(id)) => id.as_str(),
            Some(After::Page(_)) | None => "",
        };
        found.await?.ok_or_else(|| query::unknown_after(after))
    }

    async fn sessions(&self, _: &Ctx, filter: &SessionFilter) -> Result<Vec<Session>> {
        let wanted = filter.clone();
        let found = self.read(move |reader| Ok(query::sessions(reader.view, &wanted)?)).await?;
        found.ok_or_else(|| query::unknown_after(filter.after.as_ref().map_or("", SessionId::as_str)))
    }

    async fn session(&self, _: &Ctx, id: &SessionId) -> Result<Option<Session>> {
        let id = id.clone();
        self.read(move |reader| Ok(query::session(reader.view, &id)?)).await
    }

    async fn purge(&self, _: &Ctx, keep: Retention) -> Result<Purged> {
        self.forget(keep).await
    }

    async fn probe(&self, _: &Ctx) -> Result<()> {
        self.engine.log.append(&Group::of(record::kind::PROBE, &[]))?.await
    }
}

/// One look at the view and the log.
pub(crate) struct Reader<'a> {
    pub(crate) view: &'a ReadTransaction,
    fetch: Fetch<'a>,
    blobs: &'a Blobs,
    /// Whether what is not there has not moved but is lost.
    is_last_look: bool,
}

/// Why a read did not succeed.
pub(crate) enum ReadError {
    /// What the view refers to is not there: it may have moved since.
    Gone,
    View(ViewError),
}

impl<E: Into<ViewError>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::View(error.into())
    }
}

impl Reader<'_> {
    /// The body that the slot's record holds or refers to.
    pub(crate) fn content<T: DeserializeOwned>(&mut self, slot: &Slot) -> Result<T, ReadError> {
        let unreadable = |cause| ViewError::Record { lsn: slot.version, cause };
        if let Some(blob) = &slot.blob {
            let content = self.blobs.get(blob)?.ok_or_else(|| self.gone(&self.blobs.path(&blob.hash)))?;
            return Ok(stored::body(&content).map_err(unreadable)?);
        }
        let payload = self.payload(slot)?;
        let (_, body) = stored::split::<serde::de::IgnoredAny>(&payload).map_err(unreadable)?;
        Ok(stored::body(body).map_err(unreadable)?)
    }

    /// The payload of the slot's record.
    pub(crate) fn payload(&mut self, slot: &Slot) -> Result<Vec<u8>, ReadError> {
        let payload = self.fetch.payload(slot.place)?;
        payload.ok_or_else(|| self.gone(&segment::path(self.fetch.folder(), slot.place.segment)))
    }

    /// The runs of the rows. One that cannot be read is listed as what its row knows.
    fn page(&mut self, found: query::Page) -> Result<RunPage, ReadError> {
        let mut page = RunPage { bytes: found.bytes, next: found.next, ..RunPage::default() };
        for (id, row) in found.rows {
            let run = match self.content(&row.slot) {
                Ok(run) => run,
                Err(ReadError::View(cause)) if cause.is_of_one_record() => {
                    tracing::error!(run = %id, %cause, "a run cannot be read");
                    page.unreadable.push(id.clone());
                    row.stand_in(id, &cause.refuse_read())
                }
                Err(error) => return Err(error),
            };
            page.runs.push(run);
        }
        Ok(page)
    }

    fn gone(&self, file: &Path) -> ReadError {
        if !self.is_last_look {
            return ReadError::Gone;
        }
        let evidence = "a record that is kept refers to it";
        Fault::from(Damage::new(file, 0, 0, "the file is missing", evidence)).into()
    }

    /// The log's segments.
    pub(crate) fn log_folder(&self) -> &Path {
        self.fetch.folder()
    }
}

impl Journal {
    /// Runs `query` on a thread that may block, over a view that shows all that was acknowledged before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&mut Reader<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T> {
        self.engine.view.caught_up().await?;
        let (view, blobs, folder) =
            (self.engine.view.clone(), self.engine.blobs.clone(), self.engine.options.log_folder());
        let look = move |is_last_look| {
            let view = view.read()?;
            let fetch = Fetch::new(&folder);
            query(&mut Reader { view: &view, fetch, blobs: &blobs, is_last_look })
        };
        blocking(move || {
            for attempt in 1..=READ_ATTEMPTS {
                match look(attempt == READ_ATTEMPTS) {
                    Ok(value) => return Ok(value),
                    Err(ReadError::View(error)) => return Err(error.refuse_read()),
                    Err(ReadError::Gone) => {}
                }
            }
            Err(Error::bug("the last look takes what is gone for lost"))
        })
        .await?
    }
}

fn encode(records: &[RunRecord], inline_bytes_max: usize) -> Result<(Group, Vec<Large>)> {
    let mut group = Group::default();
    let mut large = Vec::new();
    let mut bodies = Bodies::new(inline_bytes_max, &mut large);
    let bug = |cause: serde_json::Error| Error::bug(format!("a record cannot be encoded: {cause}"));
    records.iter().try_for_each(RunRecord::check)?;
    for record in records {
        match record {
            RunRecord::Run(run) => {
                let (body, blob) = bodies.encode(run).map_err(bug)?;
                stored::push(&mut group, kind::RUN, &RunFacts { blob, ..RunFacts::of(run) }, body);
            }
            RunRecord::Event { run, event } => {
                let (body, blob) = bodies.encode(event).map_err(bug)?;
                let facts = EventFacts { blob, ..EventFacts::of(run.clone(), event) };
                stored::push(&mut group, kind::EVENT, &facts, body);
            }
            RunRecord::SessionDeleted { session } => {
                let facts = SessionDeleted { session: session.clone() };
                stored::push(&mut group, kind::SESSION_DELETED, &facts, &[]);
            }
        }
    }
    Ok((group, large))
}
