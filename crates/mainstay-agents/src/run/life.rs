//! One run from admission to its end. Two halves go side by side in one task: the body works and reports, the writer
//! records and shows. The body can be dropped at any moment; the writer never is.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use mainstay_core::message::{Message, Role};
use mainstay_core::plan::AgentKind;
use mainstay_core::run::{Run, RunError, RunEventKind, RunStatus};
use mainstay_core::telemetry::{Gauge, RunReport, Telemetry};
use mainstay_core::{Ctx, Error, Kind, Result, codes};
use tokio::time::Instant;

use super::live::{LiveRun, Presence, Stop};
use super::recorder::{Answer, Recorder};
use super::writer::{Ended, Writer};
use crate::admission::Seat;
use crate::engine::{Ports, Shared, Slot};
use crate::session::Place;
use crate::table::Enrolled;
use crate::{app, declared, owner};

/// A run that has been taken in and is to be lived.
pub(crate) struct Work {
    pub(crate) shared: Arc<Shared>,
    pub(crate) agent: Arc<Enrolled>,
    pub(crate) live: Arc<LiveRun>,
    /// The caller's context; without a deadline for a run in the background.
    pub(crate) ctx: Ctx,
    pub(crate) stream: bool,
    pub(crate) hold: Hold,
    /// What to forget if the run is not admitted.
    pub(crate) slot: Option<Slot>,
    /// Whether the session was new when the caller was let in, so that someone else may have been quicker.
    pub(crate) session_was_new: bool,
}

/// What a run holds while it lives. Given back before its end is shown, so that a caller who sees the end can go on.
pub(crate) struct Hold {
    pub(crate) _presence: Presence,
    pub(crate) place: Option<Place>,
    /// `None` while the run waits for its turn.
    pub(crate) seat: Option<Seat>,
}

/// What the body of a run works with.
pub(crate) struct Assignment<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) agent: &'a Enrolled,
    pub(crate) live: &'a LiveRun,
    pub(crate) recorder: &'a Recorder,
    pub(crate) ctx: Ctx,
    pub(crate) stream: bool,
}

enum Ending {
    Answered(Answer),
    Failed(Error),
    Stopped(Stop),
}

/// Marks the run as broken off should its task end in any unforeseen way; goes last.
struct Unfinished(Arc<LiveRun>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.break_off(&codes::INTERNAL, "the run broke off for an internal fault");
    }
}

/// Lives the run.
pub(crate) async fn live(work: Work) {
    let _unfinished = Unfinished(work.live.clone());
    let started = Instant::now();
    let ports = work.shared.ports.clone();
    let mut writer = Writer::new(ports.journal.clone(), ports.clock.clone(), work.live.clone(), &work.ctx);
    if let Err(error) = admit(&work, &mut writer).await {
        refuse(work, &error);
        return;
    }
    let recorder = Recorder::default();
    let Work { agent, live, ctx, stream, mut hold, .. } = work;
    let work = Assignment { ports: &ports, agent: &agent, live: &live, recorder: &recorder, ctx, stream };
    let body = Box::pin(async {
        tokio::select! {
            biased;
            () = recorder.outbox.broken() => {}
            () = body(work, &mut hold) => {}
        }
    });
    // The body first: what it has at hand then goes into one batch.
    let ((), written) = tokio::join!(biased; body, writer.pump(&recorder.outbox));
    let written = match written {
        Ok(ended) => Ok(ended),
        Err(cause) => cut_short(&mut writer, &recorder, &live, cause).await,
    };
    drop(hold);
    let (status, steps) = match &written {
        Ok(ended) => (ended.run.status, ended.run.steps),
        Err(_) => (RunStatus::Interrupted, 0),
    };
    let agent = agent.name.as_str();
    ports.telemetry.run(RunReport { agent, status: status.as_str(), elapsed: started.elapsed(), steps });
    match written {
        Ok(ended) => live.end(ended.events, ended.run),
        Err(error) => {
            tracing::error!(run = %live.id(), agent, %error, internal = error.internal(), "a run cannot be recorded");
            live.break_off(error.code(), error.message());
        }
    }
}

/// Records at least that the run has ended, so that nobody takes it to be at work. Errors: why nothing can be recorded.
async fn cut_short(writer: &mut Writer, recorder: &Recorder, live: &LiveRun, cause: Error) -> Result<Ended> {
    let mut row = live.asked().clone();
    recorder.fill(&mut row);
    let ended = writer.cut_short(row, &cause).await?;
    tracing::error!(run = %live.id(), error = %cause, internal = cause.internal(), "a run's record was cut short");
    Ok(ended)
}

/// Makes the run durable, unless its session turns out to be someone else's.
async fn admit(work: &Work, writer: &mut Writer) -> Result<()> {
    let asked = work.live.asked();
    if let Some(place) = &work.hold.place {
        place.in_order().await;
    }
    if let Some(session) = asked.session.as_ref().filter(|_| work.session_was_new) {
        let owner = owner::of_session(work.shared.ports.journal.as_ref(), &work.ctx, session).await?;
        if owner.is_some_and(|owner| !owner::may_see(&work.ctx, &owner)) {
            return Err(owner::foreign_session(session));
        }
    }
    let at_once = work.hold.seat.is_some();
    let status = if at_once { RunStatus::Running } else { RunStatus::Queued };
    writer.admit(Run { status, ..asked.clone() }, at_once).await
}

fn refuse(work: Work, error: &Error) {
    if let Some(slot) = &work.slot {
        work.shared.known.forget(slot, work.live.id());
    }
    drop(work.hold);
    work.live.break_off(error.code(), error.message());
}

async fn body(work: Assignment<'_>, hold: &mut Hold) {
    let ending = match turn(&work, hold).await {
        Some(ending) => ending,
        None => {
            let _active = Counted::new(work.ports.telemetry.clone(), Gauge::RunsActive);
            let latest = Instant::now() + work.agent.entry.agent.timeout;
            let ctx = work.ctx.clone().with_deadline(latest.into_std());
            attempt(&Assignment { ctx, ..work }).await
        }
    };
    let ending = fall_back(&work, ending).await;
    close(&work, ending);
}

/// Waits until the run may work, and reports that it does; an ending if it comes to one before.
async fn turn(work: &Assignment<'_>, hold: &mut Hold) -> Option<Ending> {
    if hold.seat.is_some() {
        return None;
    }
    let _queued = Counted::new(work.ports.telemetry.clone(), Gauge::RunsQueued);
    let place = hold.place.as_mut();
    let wait = async {
        if let Some(place) = place {
            place.turn().await;
        }
        work.agent.seats.wait().await
    };
    tokio::select! {
        biased;
        stop = work.live.stopped() => return Some(Ending::Stopped(stop)),
        () = deadline(&work.ctx) => return Some(Ending::Failed(too_late())),
        seat = wait => hold.seat = Some(seat),
    }
    let now = work.ports.clock.now_ms();
    let row = Run { status: RunStatus::Running, updated_ms: now, ..work.live.asked().clone() };
    work.recorder.outbox.push_row(row, RunEventKind::Started);
    None
}

/// Works until an answer, a failure, a panic, the deadline or a stop, whichever is first. What was under way is dropped
/// before this returns.
async fn attempt(work: &Assignment<'_>) -> Ending {
    let body = Box::pin(AssertUnwindSafe(answer(work)).catch_unwind());
    tokio::select! {
        biased;
        stop = work.live.stopped() => Ending::Stopped(stop),
        outcome = body => match outcome {
            Ok(Ok(answer)) => Ending::Answered(answer),
            Ok(Err(error)) => Ending::Failed(error),
            Err(_panic) => Ending::Failed(Error::bug("the run's body panicked")),
        },
        () = deadline(&work.ctx) => Ending::Failed(too_late()),
    }
}

async fn answer(work: &Assignment<'_>) -> Result<Answer> {
    match &work.agent.entry.agent.kind {
        AgentKind::Declared(_) => declared::answer(work).await,
        AgentKind::App(_) => app::answer(work).await,
    }
}

/// Turns a failure that the agent has an answer for into that answer, unless some other answer has begun to show.
async fn fall_back(work: &Assignment<'_>, ending: Ending) -> Ending {
    let Ending::Failed(error) = ending else { return ending };
    let (agent, recorder) = (work.agent, work.recorder);
    let code = error.code().id;
    let fallback =
        agent.entry.agent.fallbacks.iter().find(|fallback| fallback.on.iter().any(|on| on == code));
    let Some(fallback) = fallback.filter(|_| !recorder.text_shown()) else { return Ending::Failed(error) };
    tracing::warn!(agent = %agent.name, code, internal = error.internal(), "a run was given its fallback answer");
    recorder.text(fallback.answer.clone()).await;
    recorder.model(fallback.model.clone());
    recorder.messages([Message::text(Role::Assistant, fallback.answer.clone())]);
    Ending::Answered(Answer { text: fallback.answer.clone(), finish_reason: fallback.finish_reason.clone() })
}

/// Why a run failed, for the log. A refusal may repeat the question in the words of a vendor or an app: not that.
fn tellable(error: &Error) -> String {
    match error.kind() {
        Kind::InvalidArgument => String::new(),
        _ => format!(": {error}"),
    }
}

/// Hands the final row and event to the writer.
fn close(work: &Assignment<'_>, ending: Ending) {
    let mut run = Run { updated_ms: work.ports.clock.now_ms(), ..work.live.asked().clone() };
    work.recorder.fill(&mut run);
    let event = match ending {
        Ending::Answered(Answer { text, finish_reason }) => {
            run.status = RunStatus::Completed;
            run.answer = Some(text.clone());
            run.finish_reason = Some(finish_reason.clone());
            RunEventKind::Completed { finish_reason, answer: text, usage: run.usage }
        }
        Ending::Failed(error) => {
            let (code, internal) = (error.code().id, error.internal());
            let (agent, why) = (&run.agent, tellable(&error));
            tracing::warn!(run = %run.id, %agent, code, internal, help = error.help(), "a run failed{why}");
            let error = RunError::from(&error);
            (run.status, run.error) = (RunStatus::Failed, Some(error.clone()));
            RunEventKind::Failed(error)
        }
        Ending::Stopped(Stop { status, error }) => {
            (run.status, run.error) = (status, Some(error.clone()));
            match status {
                RunStatus::Interrupted => RunEventKind::Interrupted(error),
                _ => RunEventKind::Cancelled(error),
            }
        }
    };
    work.recorder.outbox.push_row(run, event);
}

async fn deadline(ctx: &Ctx) {
    match ctx.deadline() {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn too_late() -> Error {
    Error::new(&codes::DEADLINE_EXCEEDED, "the run took longer than its caller or its agent allows")
}

/// One more on a gauge, until dropped.
struct Counted(Arc<dyn Telemetry>, Gauge);

impl Counted {
    fn new(telemetry: Arc<dyn Telemetry>, gauge: Gauge) -> Self {
        telemetry.gauge(gauge, 1);
        Self(telemetry, gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gauge(self.1, -1);
    }
}
