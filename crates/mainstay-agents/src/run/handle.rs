//! A caller's hold on the run it started. Leaving before the end applies the run's disconnect policy.

use std::sync::Arc;

use futures_util::StreamExt;
use mainstay_core::journal::RunJournal;
use mainstay_core::run::{Run, RunEvent};
use mainstay_core::{BoxStream, Ctx, Result, RunId, SessionId};

use super::follow;
use super::live::LiveRun;

/// A started run. When the last handle of a run is dropped before its end, and the run is neither in the background nor
/// told to go on, the run is cancelled.
pub struct RunHandle {
    journal: Arc<dyn RunJournal>,
    ctx: Ctx,
    run: Held,
    replayed: bool,
}

enum Held {
    Live(Attachment),
    Recorded(Box<Run>),
}

struct Attachment(Arc<LiveRun>);

impl Drop for Attachment {
    fn drop(&mut self) {
        self.0.detach();
    }
}

impl RunHandle {
    pub(crate) fn live(journal: Arc<dyn RunJournal>, ctx: &Ctx, live: Arc<LiveRun>, replayed: bool) -> Self {
        live.attach();
        Self { journal, ctx: ctx.clone(), run: Held::Live(Attachment(live)), replayed }
    }

    pub(crate) fn recorded(journal: Arc<dyn RunJournal>, ctx: &Ctx, run: Run) -> Self {
        Self { journal, ctx: ctx.clone(), run: Held::Recorded(Box::new(run)), replayed: true }
    }

    fn asked(&self) -> &Run {
        match &self.run {
            Held::Live(attachment) => attachment.0.asked(),
            Held::Recorded(run) => run,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.asked().id
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.asked().session.as_ref()
    }

    /// Whether the run was started by an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// Waits until the first row is durable. Errors: why it is not.
    pub(crate) async fn admitted(&self) -> Result<()> {
        match &self.run {
            Held::Live(attachment) => attachment.0.admitted().await,
            Held::Recorded(_) => Ok(()),
        }
    }

    /// Waits until the run has ended, and its end is durable. Errors: `JOURNAL_UNAVAILABLE` and the like when the end
    /// cannot be recorded. Dropping this is leaving.
    pub async fn wait(self) -> Result<Run> {
        match self.run {
            Held::Live(attachment) => attachment.0.ended().await,
            Held::Recorded(run) if run.status.is_final() => Ok(*run),
            Held::Recorded(_) => Err(follow::lost()),
        }
    }

    /// The run's events from the first to the last, each durable. Dropping this before the end is leaving.
    #[must_use]
    pub fn events(self) -> BoxStream<Result<RunEvent>> {
        match self.run {
            Held::Live(attachment) => {
                let events = follow::live(self.journal, &self.ctx, attachment.0.clone(), 0);
                Box::pin(events.inspect(move |_| {
                    let _held_until_the_stream_goes = &attachment;
                }))
            }
            Held::Recorded(run) => follow::recorded(self.journal, &self.ctx, &run, 0),
        }
    }
}
