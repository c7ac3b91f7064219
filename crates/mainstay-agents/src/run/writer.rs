//! Writes a run to the journal, batch after batch, and shows each only once it is durable. Never drops an append that
//! is under way.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::journal::{RunJournal, RunRecord};
use mainstay_core::run::{Run, RunError, RunEvent, RunEventKind, RunStatus};
use mainstay_core::{Clock, Ctx, Error, Result, Retry, codes};

use super::live::LiveRun;
use super::outbox::{Batch, Outbox};

/// First pause after the journal's queue was full; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Longest pause between two attempts to append.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Times that an append with a large value is tried, which takes about three seconds; then the run ends without.
const LARGE_ATTEMPTS_MAX: u32 = 12;

/// The writer of one run.
pub(crate) struct Writer {
    journal: Arc<dyn RunJournal>,
    clock: Arc<dyn Clock>,
    live: Arc<LiveRun>,
    ctx: Ctx,
    last_seq: u64,
}

/// What ended a run: durable, but not yet shown.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) run: Run,
    pub(crate) events: Vec<RunEvent>,
}

impl Writer {
    pub(crate) fn new(
        journal: Arc<dyn RunJournal>,
        clock: Arc<dyn Clock>,
        live: Arc<LiveRun>,
        ctx: &Ctx,
    ) -> Self {
        // The record of what happened must not fail because the caller's time is up.
        Self { journal, clock, live, ctx: ctx.clone().detached(), last_seq: 0 }
    }

    /// Records the run's first row and, when it works at once, that it started. Tries once: a full journal refuses
    /// the run.
    pub(crate) async fn admit(&mut self, row: Run, started: bool) -> Result<()> {
        let kinds = if started { vec![RunEventKind::Started] } else { Vec::new() };
        let events = self.number(kinds);
        let mut records = self.records(None, &events);
        records.insert(0, RunRecord::Run(Box::new(row)));
        self.journal.append(&self.ctx, records).await?;
        self.live.publish(events);
        self.live.admit();
        Ok(())
    }

    /// Records what the outbox holds until the run's final event is durable, and returns that unshown. Errors: whatever
    /// the journal says, but `OVERLOADED`: that only holds the run back. What was being recorded then is not on record,
    /// unless the journal takes nothing more at all.
    pub(crate) async fn pump(&mut self, outbox: &Outbox) -> Result<Ended> {
        loop {
            let batch = outbox.take().await;
            let last = batch.is_final();
            let Batch { row, events } = batch;
            let before = self.last_seq;
            let events = self.number(events);
            if let Err(error) = self.append(row.as_deref(), &events).await {
                self.last_seq = before;
                outbox.break_off();
                return Err(error);
            }
            match row {
                Some(run) if last => return Ok(Ended { run: *run, events }),
                _ => self.live.publish(events),
            }
            outbox.done();
        }
    }

    /// Ends a run that `cause` keeps from being recorded whole: `row` as interrupted, without what it has to show, for
    /// that may be what does not fit. Tries for as long as the journal takes other writes: what was asked stands in the
    /// row too, and may be large itself. Errors: the journal's.
    pub(crate) async fn cut_short(&mut self, row: Run, cause: &Error) -> Result<Ended> {
        let error = RunError::from(cause);
        let events = self.number(vec![RunEventKind::Interrupted(error.clone())]);
        let status = RunStatus::Interrupted;
        let updated_ms = self.clock.now_ms();
        let run = Run { status, updated_ms, messages: Vec::new(), answer: None, error: Some(error), ..row };
        let mut pause = PAUSE_MIN;
        while let Err(error) = self.append(Some(&run), &events).await {
            if !may_pass(&error) || self.journal.probe(&self.ctx).await.is_err_and(|error| !may_pass(&error))
            {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
        Ok(Ended { run, events })
    }

    fn number(&mut self, kinds: Vec<RunEventKind>) -> Vec<RunEvent> {
        let at_ms = self.clock.now_ms();
        let mut event = |kind| {
            self.last_seq += 1;
            RunEvent { seq: self.last_seq, at_ms, kind }
        };
        kinds.into_iter().map(&mut event).collect()
    }

    async fn append(&self, row: Option<&Run>, events: &[RunEvent]) -> Result<()> {
        let mut pause = PAUSE_MIN;
        let mut attempts = 0;
        loop {
            match self.journal.append(&self.ctx, self.records(row, events)).await {
                Err(error) if *error.code() == codes::OVERLOADED => {}
                Err(error) if may_pass(&error) && attempts < LARGE_ATTEMPTS_MAX => attempts += 1,
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    fn records(&self, row: Option<&Run>, events: &[RunEvent]) -> Vec<RunRecord> {
        let run = self.live.id();
        let event = |event: &RunEvent| RunRecord::Event { run: run.clone(), event: event.clone() };
        events.iter().map(event).chain(row.map(|row| RunRecord::Run(Box::new(row.clone())))).collect()
    }
}

/// Whether the journal, though it did not take this, may take it later.
fn may_pass(error: &Error) -> bool {
    let is_its_own = [&codes::OVERLOADED, &codes::JOURNAL_UNAVAILABLE].contains(&error.code());
    is_its_own && matches!(error.retry(), Retry::Temporary(_))
}
