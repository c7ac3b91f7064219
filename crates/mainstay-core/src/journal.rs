//! The port of the durable record of runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::message::Part;
use crate::run::{Run, RunEvent, RunEventKind, RunStatus, Session, check_depth};
use crate::{Ctx, Name, Result, RunId, SessionId};

/// Arrays and objects that a free value in a record may nest. More than is taken in from callers and apps
/// ([`crate::run::DEPTH_MAX`]): earlier versions took in what a JSON parser does, and those runs must be kept.
pub const DEPTH_MAX: usize = 128;

/// About how many bytes of records a page of runs holds at most; one run may exceed it.
pub const RUN_PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The same of a page of events: followers hold one for as long as they are slow.
pub const EVENT_PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// A fact to be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunRecord {
    /// The run as it is now: created or changed.
    Run(Box<Run>),
    /// Something happened in the run.
    Event {
        /// The run.
        run: RunId,
        /// What.
        event: RunEvent,
    },
    /// The session and its runs are to be forgotten.
    SessionDeleted {
        /// The session.
        session: SessionId,
    },
}

impl RunRecord {
    /// Checks that the record can be read back. Errors: `INVALID_FIELD` for a free value that nests more than
    /// [`DEPTH_MAX`].
    pub fn check(&self) -> Result<()> {
        let fits = |field, value| check_depth(field, value, DEPTH_MAX);
        match self {
            Self::Run(run) => {
                fits("context", &run.input.context)?;
                fits("metadata", &run.input.metadata)?;
                run.messages.iter().flat_map(|message| &message.parts).try_for_each(|part| match part {
                    Part::Opaque { value, .. } => fits("messages", value),
                    _ => Ok(()),
                })
            }
            Self::Event { event: RunEvent { kind: RunEventKind::Custom { data, .. }, .. }, .. } => {
                fits("data", data)
            }
            Self::Event { .. } | Self::SessionDeleted { .. } => Ok(()),
        }
    }
}

/// Some runs that match a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPage {
    /// The runs, in order. Of one that cannot be read there is what the index knows (the ids, the agent, the status,
    /// the times and whose it is), and `JOURNAL_CORRUPT` as its error.
    pub runs: Vec<Run>,
    /// Those of them that cannot be read.
    pub unreadable: Vec<RunId>,
    /// About how many bytes their records have.
    pub bytes: u64,
    /// Where the next page begins; `None` when nothing follows.
    pub next: Option<Cursor>,
}

impl RunPage {
    /// The runs that can be read, in order.
    pub fn readable(self) -> impl Iterator<Item = Run> {
        let Self { runs, unreadable, .. } = self;
        runs.into_iter().filter(move |run| !unreadable.contains(&run.id))
    }
}

/// A place in the order of creation. It stays valid when the runs there are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// Where a page of runs begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Behind this run. Refused with `INVALID_FIELD` when there is no such run (any more).
    Run(RunId),
    /// Where the page before ended.
    Page(Cursor),
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Recorded under this label.
    pub principal: Option<String>,
    /// Of this agent.
    pub agent: Option<Name>,
    /// Of this session (then in order of creation, oldest first; else newest first).
    pub session: Option<SessionId>,
    /// In this status.
    pub status: Option<RunStatus>,
    /// Only unfinished ones (`Queued` or `Running`).
    pub unfinished: bool,
    /// Newest first, of a session too.
    pub newest_first: bool,
    /// Continue behind this.
    pub after: Option<After>,
    /// At most so many, 1 to 1,000; a page also ends with [`RUN_PAGE_BYTES_MAX`].
    pub limit: usize,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Whose first run was recorded under this label.
    pub principal: Option<String>,
    /// Continue after this session. Refused with `INVALID_FIELD` when there is no such session (any more).
    pub after: Option<SessionId>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
}

/// Some events of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// The events, ascending.
    pub events: Vec<RunEvent>,
    /// Whether there are further ones now.
    pub more: bool,
}

/// How much to keep. Unfinished runs are always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Forget finished runs whose last change is before this, Unix milliseconds.
    pub before_ms: u64,
    /// Then forget the oldest finished runs until the record is within this many bytes.
    pub bytes_max: u64,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Runs forgotten.
    pub runs: u64,
    /// Bytes still held.
    pub bytes_kept: u64,
}

/// The port. Reads see every append that was acknowledged before they began.
#[async_trait]
pub trait RunJournal: Send + Sync {
    /// Keeps the records, all or none, in order, and returns when they are durable (they survive kill -9 and power loss
    /// as far as the medium keeps its word). Safe to drop: the records are then either kept or not. Errors:
    /// `JOURNAL_UNAVAILABLE`: [`Retry::Permanent`] from the first failed write or sync to a restart, and whether the
    /// records are kept is not known; [`Retry::Temporary`] when only a large value could not be written: nothing was
    /// kept, and the same append may succeed later. `OVERLOADED` when the bounded queue is full, `INVALID_FIELD` as
    /// [`RunRecord::check`] says; then nothing was kept.
    ///
    /// [`Retry::Permanent`]: crate::Retry::Permanent
    /// [`Retry::Temporary`]: crate::Retry::Temporary
    async fn append(&self, ctx: &Ctx, records: Vec<RunRecord>) -> Result<()>;

    /// The run, or `None`. Errors: `JOURNAL_CORRUPT` when it cannot be read.
    async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Option<Run>>;

    /// The run's events with a number greater than `after`, ascending, at most `limit`; a page also ends with
    /// [`EVENT_PAGE_BYTES_MAX`]. Errors: `JOURNAL_CORRUPT` when one of them cannot be read.
    async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage>;

    /// Runs that match, in pages. One that cannot be read does not keep the others from being listed, and nothing is
    /// read of runs that do not match.
    async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<RunPage>;

    /// Sessions that match, last used first.
    async fn sessions(&self, ctx: &Ctx, filter: &SessionFilter) -> Result<Vec<Session>>;

    /// The session, or `None`.
    async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Option<Session>>;

    /// Forgets old runs. Idempotent.
    async fn purge(&self, ctx: &Ctx, keep: Retention) -> Result<Purged>;

    /// Makes a durable write that means nothing; succeeds exactly when an append would.
    async fn probe(&self, ctx: &Ctx) -> Result<()>;
}
