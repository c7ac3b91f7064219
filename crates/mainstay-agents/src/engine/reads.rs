//! Runs, read, followed, awaited and cancelled. A caller sees its own alone; the rest does not exist for it.

use std::sync::Arc;

use mainstay_core::journal::{EventPage, RunFilter, RunPage};
use mainstay_core::run::{Run, RunEvent};
use mainstay_core::{BoxStream, Ctx, Error, Result, RunId, codes};

use super::Engine;
use crate::owner;
use crate::run::follow;
use crate::run::live::{LiveRun, Stop};

/// Events of a page, at most.
const EVENTS_MAX: usize = 1_000;

impl Engine {
    /// The run as recorded. Errors: `RUN_NOT_FOUND`.
    pub async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Run> {
        owner::recorded(self.shared.ports.journal.as_ref(), ctx, id).await
    }

    /// A page of the caller's runs that match. Those of others are neither read nor counted. One that cannot be read
    /// has `JOURNAL_CORRUPT` as its error, and little else.
    pub async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<RunPage> {
        let principal = owner::label(ctx).or_else(|| filter.principal.clone());
        let own = RunFilter { principal, ..filter.clone() };
        self.shared.ports.journal.runs(ctx, &own).await
    }

    /// A page of the run's events on record with a number greater than `after`. Does not wait for more.
    /// Errors: `RUN_NOT_FOUND`.
    pub async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage> {
        let journal = self.shared.ports.journal.as_ref();
        owner::recorded(journal, ctx, id).await?;
        journal.events(ctx, id, after, limit.clamp(1, EVENTS_MAX)).await
    }

    /// The run's events with a number greater than `after`: first from the journal, then as they come, without a gap or
    /// a repeat, until the last one. Every event is durable when it is shown. Works after a restart too.
    /// Errors: `RUN_NOT_FOUND`, also as the last item when the run is forgotten before its last event was read; as the
    /// last item `RUN_INTERRUPTED` when the run's end is not on record.
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
