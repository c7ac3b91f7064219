//! A run that is queued or at work in this process: how far it is, who watches, and how to stop it. Never shows what is
//! not durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::run::{Run, RunError, RunEvent, RunStatus};
use mainstay_core::{Code, Error, Result, RunId, codes};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tail::Tail;

/// A run at work.
pub(crate) struct LiveRun {
    /// The run as it was asked for.
    asked: Run,
    tail: Mutex<Tail>,
    progress: watch::Sender<Progress>,
    stop: OnceLock<Stop>,
    stopped: CancellationToken,
    /// Handles held by callers.
    attached: AtomicUsize,
    /// Whether it ends when the last handle goes.
    cut_on_leave: bool,
}

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Whether its first row is durable.
    pub(crate) admitted: bool,
    /// The number of its last durable event.
    pub(crate) durable: u64,
    /// How it ended.
    pub(crate) end: Option<Arc<End>>,
}

/// How a run left this process.
#[derive(Debug)]
pub(crate) enum End {
    /// With a final event and row, durable.
    Final(Box<Run>),
    /// Without: the journal took no more of it.
    Broken {
        /// Why.
        code: &'static Code,
        /// The external message.
        message: String,
    },
}

/// Why a run is stopped from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) status: RunStatus,
    pub(crate) error: RunError,
}

impl Stop {
    pub(crate) fn cancelled() -> Self {
        Self::by_caller("the run was cancelled")
    }

    pub(crate) fn superseded() -> Self {
        Self::by_caller("the run was superseded by a newer message of its session")
    }

    pub(crate) fn left() -> Self {
        Self::by_caller("the run's caller went away")
    }

    pub(crate) fn session_deleted() -> Self {
        Self::by_caller("the run's session was deleted")
    }

    pub(crate) fn interrupted() -> Self {
        let error = RunError::new(&codes::RUN_INTERRUPTED, "the run was cut by a stop of the server");
        Self { status: RunStatus::Interrupted, error }
    }

    fn by_caller(message: &str) -> Self {
        let error = RunError::new(&codes::RUN_CANCELLED, message);
        Self { status: RunStatus::Cancelled, error }
    }
}

impl End {
    fn outcome(&self) -> Result<Run> {
        match self {
            Self::Final(run) => Ok(run.as_ref().clone()),
            Self::Broken { code, message } => Err(Error::new(code, message.clone())),
        }
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.outcome().err()
    }
}

impl LiveRun {
    pub(crate) fn new(asked: Run, cut_on_leave: bool) -> Self {
        Self {
            asked,
            tail: Mutex::default(),
            progress: watch::Sender::default(),
            stop: OnceLock::new(),
            stopped: CancellationToken::new(),
            attached: AtomicUsize::new(0),
            cut_on_leave,
        }
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.asked.id
    }

    pub(crate) fn principal(&self) -> &str {
        &self.asked.principal
    }

    /// The run as it was asked for: queued, nothing done.
    pub(crate) fn asked(&self) -> &Run {
        &self.asked
    }

    /// Ends the run; the first reason holds. Returns at once: the end is durable later.
    pub(crate) fn stop(&self, why: Stop) {
        if self.stop.set(why).is_ok() {
            self.stopped.cancel();
        }
    }

    /// Waits until the run is to stop.
    pub(crate) async fn stopped(&self) -> Stop {
        self.stopped.cancelled().await;
        self.stop.get().cloned().expect("the reason is set before the signal")
    }

    pub(crate) fn attach(&self) {
        self.attached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn detach(&self) {
        let last = self.attached.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && self.cut_on_leave {
            self.stop(Stop::left());
        }
    }

    /// The first row is durable.
    pub(crate) fn admit(&self) {
        self.progress.send_modify(|progress| progress.admitted = true);
    }

    /// Shows events that are durable.
    pub(crate) fn publish(&self, events: Vec<RunEvent>) {
        let Some(last) = events.last().map(|event| event.seq) else { return };
        self.tail.lock().extend(events);
        self.progress.send_modify(|progress| progress.durable = last);
    }

    /// Shows the last events and that the run has ended.
    pub(crate) fn end(&self, events: Vec<RunEvent>, run: Run) {
        self.publish(events);
        self.progress.send_modify(|progress| progress.end = Some(Arc::new(End::Final(Box::new(run)))));
    }

    /// Says that nothing more of the run can be recorded. Without effect after its end.
    pub(crate) fn break_off(&self, code: &'static Code, message: &str) {
        self.progress.send_if_modified(|progress| {
            let open = progress.end.is_none();
            if open {
                progress.end = Some(Arc::new(End::Broken { code, message: message.to_owned() }));
            }
            open
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Events in memory from number `after + 1` on, or `None` when the journal has to be asked.
    pub(crate) fn recent(&self, after: u64, limit: usize) -> Option<Vec<RunEvent>> {
        self.tail.lock().after(after, limit)
    }

    /// Waits until it is known whether the run is on record.
    pub(crate) async fn settled(&self) {
        // Whether it was refused is its own caller's concern.
        let _ = self.admitted().await;
    }

    /// Waits until the first row is durable. Errors: why it is not.
    pub(crate) async fn admitted(&self) -> Result<()> {
        let mut watch = self.watch();
        let progress = watch.wait_for(|progress| progress.admitted || progress.end.is_some()).await;
        let progress = progress.expect("the sender is in `self`").clone();
        match progress.end {
            Some(end) if !progress.admitted => end.outcome().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Waits for the end. Errors: why the end is not on record.
    pub(crate) async fn ended(&self) -> Result<Run> {
        let mut watch = self.watch();
        let progress = watch.wait_for(|progress| progress.end.is_some()).await;
        let end = progress.expect("the sender is in `self`").end.clone();
        end.expect("waited for").outcome()
    }
}

/// The runs queued or at work in this process.
#[derive(Default)]
pub(crate) struct LiveRuns {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: HashMap<RunId, Arc<LiveRun>>,
    draining: bool,
}

/// A run's presence among the live ones; dropping it takes the run away.
#[must_use]
pub(crate) struct Presence {
    runs: Arc<LiveRuns>,
    id: RunId,
}

impl LiveRuns {
    /// Takes the run in. Errors: `DRAINING`.
    pub(crate) fn enter(self: &Arc<Self>, live: &Arc<LiveRun>) -> Result<Presence> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(Error::new(&codes::DRAINING, "the server is shutting down and takes no new runs"));
        }
        state.runs.insert(live.id().clone(), live.clone());
        Ok(Presence { runs: self.clone(), id: live.id().clone() })
    }

    pub(crate) fn get(&self, id: &RunId) -> Option<Arc<LiveRun>> {
        self.state.lock().runs.get(id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().runs.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LiveRun>> {
        self.state.lock().runs.values().cloned().collect()
    }

    /// Takes no further runs from now on.
    pub(crate) fn drain(&self) {
        self.state.lock().draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.state.lock().draining
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.runs.state.lock().runs.remove(&self.id);
    }
}
