//! Following a run: its events from a number on, each once, without a gap, until the last. A follower holds a cursor
//! and at most one page of events, so a slow one costs the run nothing: it reads the journal.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream;
use mainstay_core::journal::RunJournal;
use mainstay_core::run::{Run, RunEvent};
use mainstay_core::{BoxStream, Ctx, Error, Result, RunId, codes};
use tokio::sync::watch;

use super::live::{LiveRun, Progress};
use crate::owner;

/// Most events a follower holds.
const PAGE_EVENTS: usize = 64;

/// Follows a run at work.
pub(crate) fn live(
    journal: Arc<dyn RunJournal>,
    ctx: &Ctx,
    run: Arc<LiveRun>,
    after: u64,
) -> BoxStream<Result<RunEvent>> {
    let (id, watch) = (run.id().clone(), run.watch());
    Follower::new(journal, ctx, id, Source::Live { run, watch }, after).stream()
}

/// Follows a run that no one works at any more.
pub(crate) fn recorded(
    journal: Arc<dyn RunJournal>,
    ctx: &Ctx,
    run: &Run,
    after: u64,
) -> BoxStream<Result<RunEvent>> {
    let source = Source::Recorded { ended: run.status.is_final() };
    Follower::new(journal, ctx, run.id.clone(), source, after).stream()
}

/// The run is unfinished on record and no one is at work on it here.
pub(crate) fn lost() -> Error {
    Error::new(&codes::RUN_INTERRUPTED, "the run is no longer at work and its end is not on record")
}

enum Source {
    Live { run: Arc<LiveRun>, watch: watch::Receiver<Progress> },
    Recorded { ended: bool },
}

struct Follower {
    journal: Arc<dyn RunJournal>,
    ctx: Ctx,
    id: RunId,
    source: Source,
    cursor: u64,
    page: VecDeque<RunEvent>,
    over: bool,
}

impl Follower {
    fn new(journal: Arc<dyn RunJournal>, ctx: &Ctx, id: RunId, source: Source, after: u64) -> Self {
        // A stream may outlive the request's deadline: the agent's timeout bounds it.
        let ctx = ctx.clone().detached();
        Self { journal, ctx, id, source, cursor: after, page: VecDeque::new(), over: false }
    }

    fn stream(self) -> BoxStream<Result<RunEvent>> {
        Box::pin(stream::unfold(self, |mut follower| async move {
            let item = follower.next().await?;
            Some((item, follower))
        }))
    }

    async fn next(&mut self) -> Option<Result<RunEvent>> {
        if self.over {
            return None;
        }
        let item = match self.page.is_empty() {
            true => self.fill().await,
            false => Ok(()),
        };
        let item = item.map(|()| self.page.pop_front()).transpose();
        match &item {
            Some(Ok(event)) => {
                self.cursor = event.seq;
                self.over = event.kind.is_final();
            }
            Some(Err(_)) | None => self.over = true,
        }
        item
    }

    /// Waits for the next page; it stays empty when nothing follows.
    async fn fill(&mut self) -> Result<()> {
        match &self.source {
            Source::Recorded { ended } => {
                let ended = *ended;
                self.read_journal().await?;
                match self.page.is_empty() {
                    true if ended => self.still_known().await,
                    true => Err(lost()),
                    false => Ok(()),
                }
            }
            Source::Live { .. } => self.fill_live().await,
        }
    }

    /// Tells a reader who has seen all from one whose run was forgotten meanwhile. Errors: `RUN_NOT_FOUND`.
    async fn still_known(&self) -> Result<()> {
        owner::recorded(self.journal.as_ref(), &self.ctx, &self.id).await.map(drop)
    }

    async fn fill_live(&mut self) -> Result<()> {
        let Source::Live { run, watch } = &mut self.source else { return Ok(()) };
        let cursor = self.cursor;
        let wanted = |progress: &Progress| progress.durable > cursor || progress.end.is_some();
        let progress = watch.wait_for(wanted).await.map_err(|_| lost())?.clone();
        if progress.durable <= cursor {
            return progress.end.and_then(|end| end.error()).map_or(Ok(()), Err);
        }
        match run.recent(cursor, PAGE_EVENTS) {
            Some(events) => self.page = events.into(),
            None => self.read_journal().await?,
        }
        if self.page.is_empty() { Err(owner::unknown_run(&self.id)) } else { Ok(()) }
    }

    async fn read_journal(&mut self) -> Result<()> {
        let events = self.journal.events(&self.ctx, &self.id, self.cursor, PAGE_EVENTS).await?.events;
        if events.first().is_some_and(|first| first.seq != self.cursor + 1) {
            return Err(Error::bug(format!("events of run {} have a gap after {}", self.id, self.cursor)));
        }
        self.page = events.into();
        Ok(())
    }
}
