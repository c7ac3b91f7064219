//! The port of the durable record of runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::run::{Run, RunEvent, RunStatus, Session};
use crate::{Ctx, Name, Result, RunId, SessionId};

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

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this agent.
    pub agent: Option<Name>,
    /// Of this session (then in order of creation, oldest first; else newest first).
    pub session: Option<SessionId>,
    /// In this status.
    pub status: Option<RunStatus>,
    /// Only unfinished ones (`Queued` or `Running`).
    pub unfinished: bool,
    /// Continue after this run.
    pub after: Option<RunId>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
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
    /// Keeps the records, all or none, in order, and returns when they are durable (they survive kill -9 and power
    /// loss as far as the medium keeps its word). Safe to drop: the records are then either kept or not.
    /// Errors: `JOURNAL_UNAVAILABLE` (permanent until restart once a write or sync has failed), `OVERLOADED` when the
    /// bounded queue is full.
    async fn append(&self, ctx: &Ctx, records: Vec<RunRecord>) -> Result<()>;

    /// The run, or `None`.
    async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Option<Run>>;

    /// The run's events with a number greater than `after`, ascending, at most `limit`.
    async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>>;

    /// Runs that match.
    async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<Vec<Run>>;

    /// Sessions, last used first, after `after`, at most `limit`.
    async fn sessions(&self, ctx: &Ctx, after: Option<&SessionId>, limit: usize) -> Result<Vec<Session>>;

    /// The session, or `None`.
    async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Option<Session>>;

    /// Forgets old runs. Idempotent.
    async fn purge(&self, ctx: &Ctx, keep: Retention) -> Result<Purged>;

    /// Makes a durable write that means nothing; succeeds exactly when an append would.
    async fn probe(&self, ctx: &Ctx) -> Result<()>;
}
