//! The engine: what surfaces call. A table that can be swapped, the runs alive, the sessions' lines, and the ports.
//! Checks no credential and no rate: whoever calls has done that; it does check whose run is asked for.

mod drain;
mod idempotency;
mod reads;
mod recover;
mod sessions;
mod start;

use std::sync::Arc;

use arc_swap::ArcSwap;
use mainstay_core::journal::RunJournal;
use mainstay_core::model::ModelClient;
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Clock, Name, Result};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use self::idempotency::Known;
pub(crate) use self::idempotency::Slot;
pub use self::start::Start;
use crate::run::live::LiveRuns;
use crate::session::Lines;
use crate::table::{Roster, Table};

/// What the engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// Where runs are recorded.
    pub journal: Arc<dyn RunJournal>,
    /// Who answers for models.
    pub models: Arc<dyn ModelClient>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told what happened.
    pub telemetry: Arc<dyn Telemetry>,
}

/// The engine. Cheap to clone; all clones are one. Runs live in tasks of the runtime that `start` is called on and go
/// on when every clone is dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all clones and all runs share.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    roster: ArcSwap<Roster>,
    reloading: Mutex<()>,
    live: Arc<LiveRuns>,
    lines: Arc<Lines>,
    pub(crate) known: Known,
    tasks: TaskTracker,
}

impl Engine {
    /// An engine at work on `table`. Call [`Engine::recover`] once before serving.
    #[must_use]
    pub fn new(ports: Ports, table: Table) -> Self {
        let shared = Shared {
            ports,
            roster: ArcSwap::from_pointee(Roster::new(table, None)),
            reloading: Mutex::default(),
            live: Arc::default(),
            lines: Arc::default(),
            known: Known::default(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Swaps the table. Runs queued or at work keep the agent they were started with; bounds on concurrency count old
    /// and new runs together.
    pub fn reload(&self, table: Table) {
        let _one_at_a_time = self.shared.reloading.lock();
        let former = self.shared.roster.load_full();
        self.shared.roster.store(Arc::new(Roster::new(table, Some(&former))));
    }

    /// The table at work.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.shared.roster.load().table.clone()
    }

    /// The agent meant by a caller: the one named, else the default one. Errors: `AGENT_NOT_FOUND`.
    pub fn resolve(&self, agent: Option<&str>) -> Result<Name> {
        self.shared.roster.load().resolve(agent)
    }

    /// How many runs are queued or at work.
    #[must_use]
    pub fn active(&self) -> usize {
        self.shared.live.len()
    }
}
