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

/// Most runs in one line, whatever the policy: those superseded by an interrupt stay until their end is durable.
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
    /// Gives the run a place. Errors: `SESSION_BUSY` as the policy says, `PERMISSION_DENIED` when the line is of
    /// another principal.
    pub(crate) fn join(
        self: &Arc<Self>,
        session: &SessionId,
        live: &Arc<LiveRun>,
        policy: SessionPolicy,
    ) -> Result<Place> {
        let mut lines = self.lines.lock();
        let new = || Line { owner: live.principal().to_owned(), closing: false, places: VecDeque::new() };
        let line = lines.entry(session.clone()).or_insert_with(new);
        if line.owner != live.principal() {
            return Err(owner::foreign_session(session));
        }
        if line.closing {
            return Err(busy(session, "is being deleted"));
        }
        line.make_way(session, policy)?;
        let (sender, receiver) = oneshot::channel();
        let head = line.places.is_empty();
        line.places.push_back(Waiting { live: live.clone(), turn: (!head).then_some(sender) });
        let turn = (!head).then_some(receiver);
        Ok(Place { lines: self.clone(), session: session.clone(), run: live.id().clone(), turn })
    }

    /// Closes the line for a deletion. Errors: `SESSION_BUSY` when it is being deleted already.
    pub(crate) fn close(self: &Arc<Self>, session: &SessionId, owner: &str) -> Result<Closing> {
        let mut lines = self.lines.lock();
        let new = || Line { owner: owner.to_owned(), closing: false, places: VecDeque::new() };
        let line = lines.entry(session.clone()).or_insert_with(new);
        if std::mem::replace(&mut line.closing, true) {
            return Err(busy(session, "is being deleted"));
        }
        let runs = line.places.iter().map(|place| place.live.clone()).collect();
        Ok(Closing { lines: self.clone(), session: session.clone(), runs })
    }
}

impl Line {
    fn make_way(&self, session: &SessionId, policy: SessionPolicy) -> Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        let full = match policy {
            SessionPolicy::Reject => true,
            SessionPolicy::Enqueue { waiting_max } => self.places.len() > waiting_max as usize,
            SessionPolicy::Interrupt => false,
        };
        if full || self.places.len() >= LINE_RUNS_MAX {
            return Err(busy(session, "is at work on another message"));
        }
        if policy == SessionPolicy::Interrupt {
            self.places.iter().for_each(|place| place.live.stop(Stop::superseded()));
        }
        Ok(())
    }
}

impl Place {
    /// Whether the run may work at once.
    pub(crate) fn at_head(&self) -> bool {
        self.turn.is_none()
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
        if line.places.is_empty() && !line.closing {
            lines.remove(&self.session);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.lock();
        let Some(line) = lines.get_mut(&self.session) else { return };
        line.closing = false;
        if line.places.is_empty() {
            lines.remove(&self.session);
        }
    }
}

fn busy(session: &SessionId, why: &str) -> Error {
    Error::new(&codes::SESSION_BUSY, format!("session `{session}` {why}"))
        .with_field("session_id")
        .with_help("wait for the run at work to end, or use another session")
}
