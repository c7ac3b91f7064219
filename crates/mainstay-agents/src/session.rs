//! Sessions as lines: the run at the head is at work, the others wait in order of arrival. Keeps no conversation; that
//! is in the journal.
//!
//! ```text
//! join ──► [ head: at work ][ waits ][ waits ]      leave(head) ──► the next one's turn
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mainstay_core::plan::SessionPolicy;
use mainstay_core::{Error, Result, RunId, SessionId, codes};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::owner;
use crate::run::live::{LiveRun, Stop};

/// Most runs in one line under `interrupt`: those superseded stay until their end is durable.
const LINE_RUNS_MAX: usize = 1_024;

/// All sessions with a run.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Mutex<HashMap<SessionId, Line>>,
}

struct Line {
    owner: String,
    closing: bool,
    places: VecDeque<Waiting>,
}

struct Waiting {
    live: Arc<LiveRun>,
    turn: Option<oneshot::Sender<()>>,
}

/// A place in a line; dropping it leaves the line and gives the turn to the next.
pub(crate) struct Place {
    lines: Arc<Lines>,
    session: SessionId,
    run: RunId,
    /// The run before this one when it came.
    before: Option<Arc<LiveRun>>,
    turn: Option<oneshot::Receiver<()>>,
}

/// A line that takes nobody while its session is being deleted; dropping it opens the line again.
pub(crate) struct Closing {
    lines: Arc<Lines>,
    session: SessionId,
    /// The runs in the line when it closed.
    pub(crate) runs: Vec<Arc<LiveRun>>,
}

impl Lines {
    /// Gives a place to the run that `enter` makes, told whether it is to work at once. It is made in the line, so that
    /// the ids of a session are in the line's order and no one else sees a run that is refused after all.
    /// Errors: `SESSION_BUSY` as the policy says, `PERMISSION_DENIED` when the line is of another principal, and those
    /// of `enter`; then nobody was interrupted.
    pub(crate) fn join<T>(
        self: &Arc<Self>,
        session: &SessionId,
        owner: &str,
        policy: SessionPolicy,
        enter: impl FnOnce(bool) -> Result<(Arc<LiveRun>, T)>,
    ) -> Result<(Arc<LiveRun>, T, Place)> {
        let mut lines = self.lines.lock();
        let line = lines.entry(session.clone()).or_insert_with(|| Line::new(owner));
        let at_once = line.places.is_empty();
        let entered = line.admits(session, owner, policy).and_then(|()| enter(at_once));
        let (live, held) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                if line.is_idle() {
                    lines.remove(session);
                }
                return Err(error);
            }
        };
        let (before, turn) = line.push(live.clone(), policy);
        let place =
            Place { lines: self.clone(), session: session.clone(), run: live.id().clone(), before, turn };
        Ok((live, held, place))
    }

    /// Closes the line for a deletion. Errors: `SESSION_BUSY` when it is being deleted already.
    pub(crate) fn close(self: &Arc<Self>, session: &SessionId, owner: &str) -> Result<Closing> {
        let mut lines = self.lines.lock();
        let line = lines.entry(session.clone()).or_insert_with(|| Line::new(owner));
        if std::mem::replace(&mut line.closing, true) {
            return Err(busy(session, "is being deleted"));
        }
        let runs = line.places.iter().map(|place| place.live.clone()).collect();
        Ok(Closing { lines: self.clone(), session: session.clone(), runs })
    }
}

impl Line {
    fn new(owner: &str) -> Self {
        Self { owner: owner.to_owned(), closing: false, places: VecDeque::new() }
    }

    fn is_idle(&self) -> bool {
        self.places.is_empty() && !self.closing
    }

    fn admits(&self, session: &SessionId, owner: &str, policy: SessionPolicy) -> Result<()> {
        if self.owner != owner {
            return Err(owner::foreign_session(session));
        }
        if self.closing {
            return Err(busy(session, "is being deleted"));
        }
        let full = match policy {
            SessionPolicy::Reject => !self.places.is_empty(),
            SessionPolicy::Enqueue { waiting_max } => self.places.len() > waiting_max as usize,
            SessionPolicy::Interrupt => self.places.len() >= LINE_RUNS_MAX,
        };
        if full { Err(busy(session, "is at work on another message")) } else { Ok(()) }
    }

    /// Puts the run last; gives the run before it, and what it waits for unless it is the first.
    fn push(
        &mut self,
        live: Arc<LiveRun>,
        policy: SessionPolicy,
    ) -> (Option<Arc<LiveRun>>, Option<oneshot::Receiver<()>>) {
        if policy == SessionPolicy::Interrupt {
            self.places.iter().for_each(|place| place.live.stop(Stop::superseded()));
        }
        let before = self.places.back().map(|place| place.live.clone());
        let (sender, receiver) = before.is_some().then(oneshot::channel).unzip();
        self.places.push_back(Waiting { live, turn: sender });
        (before, receiver)
    }
}

impl Place {
    /// Waits until the run before is on record or refused, so that a session's runs are recorded in the line's order.
    pub(crate) async fn in_order(&self) {
        if let Some(before) = &self.before {
            before.settled().await;
        }
    }

    /// Waits for the run's turn. Safe to drop and call again.
    pub(crate) async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.await.expect("the line keeps the sender until it gives the turn");
            self.turn = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.lock();
        let Some(line) = lines.get_mut(&self.session) else { return };
        let Some(at) = line.places.iter().position(|place| *place.live.id() == self.run) else { return };
        line.places.remove(at);
        if at == 0
            && let Some(turn) = line.places.front_mut().and_then(|next| next.turn.take())
        {
            // The receiver is gone only while that run leaves the line too; its own leaving passes the turn on.
            let _ = turn.send(());
        }
        if line.is_idle() {
            lines.remove(&self.session);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.lock();
        let Some(line) = lines.get_mut(&self.session) else { return };
        line.closing = false;
        if line.is_idle() {
            lines.remove(&self.session);
        }
    }
}

fn busy(session: &SessionId, why: &str) -> Error {
    Error::new(&codes::SESSION_BUSY, format!("session `{session}` {why}"))
        .with_field("session_id")
        .with_help("wait for the run at work to end, or use another session")
}
