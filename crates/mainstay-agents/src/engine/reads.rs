//! Runs, read, followed, awaited and cancelled. A caller sees its own alone; the rest does not exist for it.

use std::sync::Arc;

use mainstay_core::journal::RunFilter;
use mainstay_core::run::{Run, RunEvent};
use mainstay_core::{BoxStream, Ctx, Error, Result, RunId, codes};

use super::Engine;
use crate::owner;
use crate::run::follow;
use crate::run::live::{LiveRun, Stop};

/// Runs or sessions of a page, at most.
pub(super) const PAGE_MAX: usize = 1_000;

impl Engine {
    /// The run as recorded. Errors: `RUN_NOT_FOUND`.
    pub async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Run> {
        owner::recorded(self.shared.ports.journal.as_ref(), ctx, id).await
    }

    /// The caller's runs that match, at most `filter.limit` and 1,000. Runs of others are skipped, not counted. One that
    /// cannot be read has `JOURNAL_CORRUPT` as its error, and little else.
    pub async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<Vec<Run>> {
        let mut page = RunFilter { limit: filter.limit.clamp(1, PAGE_MAX), ..filter.clone() };
        let limit = page.limit;
        let mut runs = Vec::new();
        loop {
            let read = self.shared.ports.journal.runs(ctx, &page).await?.runs;
            let whole = read.len() == page.limit;
            page.after = read.last().map(|run| run.id.clone());
            runs.extend(read.into_iter().filter(|run| owner::may_see(ctx, &run.principal)));
            runs.truncate(limit);
            if !whole || runs.len() == limit {
                return Ok(runs);
            }
            page.limit = PAGE_MAX;
        }
    }

    /// The run's events on record with a number greater than `after`, at most `limit` and 1,000. Does not wait for more.
    /// Errors: `RUN_NOT_FOUND`.
    pub async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>> {
        let journal = self.shared.ports.journal.as_ref();
        owner::recorded(journal, ctx, id).await?;
        journal.events(ctx, id, after, limit.clamp(1, PAGE_MAX)).await
    }

    /// The run's events with a number greater than `after`: first from the journal, then as they come, without a gap or
    /// a repeat, until the last one. Every event is durable when it is shown. Works after a restart too.
    /// Errors: `RUN_NOT_FOUND`; as the last item `RUN_INTERRUPTED` when the run's end is not on record.
    pub async fn follow(&self, ctx: &Ctx, run: &RunId, after: u64) -> Result<BoxStream<Result<RunEvent>>> {
        let journal = self.shared.ports.journal.clone();
        if let Some(live) = self.own(ctx, run)? {
            live.admitted().await?;
            return Ok(follow::live(journal, ctx, live, after));
        }
        let recorded = owner::recorded(journal.as_ref(), ctx, run).await?;
        Ok(follow::recorded(journal, ctx, &recorded, after))
    }

    /// Waits until the run has ended and its end is durable. Errors: `RUN_NOT_FOUND`, `DEADLINE_EXCEEDED` when the
    /// caller's time is up first, `RUN_INTERRUPTED` when the run's end is not on record.
    pub async fn wait(&self, ctx: &Ctx, run: &RunId) -> Result<Run> {
        match self.own(ctx, run)? {
            Some(live) => in_time(ctx, live.ended()).await,
            None => self.ended(ctx, run).await,
        }
    }

    /// Cancels the run and returns it when its end is durable. A run that has ended stays as it is.
    /// Errors: as [`Engine::wait`].
    pub async fn cancel(&self, ctx: &Ctx, run: &RunId) -> Result<Run> {
        match self.own(ctx, run)? {
            Some(live) => {
                live.stop(Stop::cancelled());
                in_time(ctx, live.ended()).await
            }
            None => self.ended(ctx, run).await,
        }
    }

    /// The run, if it is alive and the caller's. Errors: `RUN_NOT_FOUND` when it is someone else's.
    fn own(&self, ctx: &Ctx, id: &RunId) -> Result<Option<Arc<LiveRun>>> {
        match self.shared.live.get(id) {
            Some(live) if !owner::may_see(ctx, live.principal()) => Err(owner::unknown_run(id)),
            live => Ok(live),
        }
    }

    async fn ended(&self, ctx: &Ctx, id: &RunId) -> Result<Run> {
        let run = self.run(ctx, id).await?;
        if run.status.is_final() { Ok(run) } else { Err(follow::lost()) }
    }
}

/// Waits no longer than the caller does.
async fn in_time<T>(ctx: &Ctx, wait: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(deadline) = ctx.deadline() else { return wait.await };
    let late = |_| Error::new(&codes::DEADLINE_EXCEEDED, "the run did not end in time");
    tokio::time::timeout_at(deadline.into(), wait).await.map_err(late)?
}
