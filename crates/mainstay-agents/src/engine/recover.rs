//! After a restart: runs that a former process left unfinished are ended as interrupted, so that none hangs for ever.
//! Runs nothing again.

use mainstay_core::journal::{After, RunFilter, RunPage, RunRecord};
use mainstay_core::run::{Run, RunEvent, RunEventKind, RunStatus};
use mainstay_core::{Ctx, Result, codes};

use super::Engine;
use crate::run::live::Stop;

/// Runs ended by one append.
const BATCH_RUNS: usize = 64;

/// Events read at a time.
const PAGE_EVENTS: usize = 256;

impl Engine {
    /// Ends every run that is unfinished on record and not alive here as `interrupted`, and returns how many. To be
    /// called once before serving; repeating it, also after it failed half-way, does no harm. What cannot be read of a
    /// run does not keep it from being ended: it then has what the journal's index knows.
    /// Errors: the journal's.
    pub async fn recover(&self, ctx: &Ctx) -> Result<u64> {
        let mut filter = RunFilter { unfinished: true, limit: BATCH_RUNS, ..RunFilter::default() };
        let mut count = 0;
        loop {
            let RunPage { runs, unreadable, next, .. } = self.shared.ports.journal.runs(ctx, &filter).await?;
            filter.after = next.map(After::Page);
            let mut records = Vec::with_capacity(2 * runs.len());
            for run in runs.into_iter().filter(|run| self.shared.live.get(&run.id).is_none()) {
                tracing::warn!(run = %run.id, agent = %run.agent, "a run of a former process is interrupted");
                if unreadable.contains(&run.id) {
                    tracing::error!(run = %run.id, "what the run was asked cannot be read and is lost");
                }
                records.extend(self.interrupt(ctx, run).await?);
                count += 1;
            }
            if !records.is_empty() {
                self.shared.ports.journal.append(ctx, records).await?;
            }
            if filter.after.is_none() {
                return Ok(count);
            }
        }
    }

    /// The final event and row of a run that was cut, with the usage that its events tell of.
    async fn interrupt(&self, ctx: &Ctx, mut run: Run) -> Result<[RunRecord; 2]> {
        let mut last = 0;
        let mut limit = PAGE_EVENTS;
        loop {
            let page = match self.shared.ports.journal.events(ctx, &run.id, last, limit).await {
                // Of one that cannot be read there is still the number: they have no gaps.
                Err(error) if *error.code() == codes::JOURNAL_CORRUPT && limit == 1 => {
                    last += 1;
                    let internal = error.internal();
                    tracing::error!(run = %run.id, event = last, internal, "an event cannot be read: {error}");
                    continue;
                }
                Err(error) if *error.code() == codes::JOURNAL_CORRUPT => {
                    limit = 1;
                    continue;
                }
                outcome => outcome?.events,
            };
            let Some(event) = page.last() else { break };
            last = event.seq;
            for event in page {
                if let RunEventKind::Step { step, model, usage, .. } = event.kind {
                    (run.steps, run.model) = (step, Some(model));
                    run.usage += usage;
                }
            }
        }
        let error = Stop::interrupted().error;
        let at_ms = self.shared.ports.clock.now_ms();
        let event = RunEvent { seq: last + 1, at_ms, kind: RunEventKind::Interrupted(error.clone()) };
        let event = RunRecord::Event { run: run.id.clone(), event };
        (run.status, run.updated_ms, run.error) = (RunStatus::Interrupted, at_ms, Some(error));
        Ok([event, RunRecord::Run(Box::new(run))])
    }
}
