//! Reading the resource files again while a sidecar runs: what they say now, or what they said before with the faults
//! shown. What could not be opened is tried again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::resources::Resources;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deliveries::Deliveries;
use super::flags::Options;
use super::resources;
use crate::exit;
use crate::stamp::Stamp;
use crate::wire::sidecar::Beside;

/// First and longest pause before what could not be opened is tried again.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What follows the files of a sidecar.
pub(super) struct Follower {
    /// How the files looked when they were taken.
    pub(super) taken: Look,
    pub(super) options: Options,
    pub(super) beside: Arc<Beside>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) work: TaskTracker,
    /// Ends the outbox.
    pub(super) stay: CancellationToken,
}

/// Files, and how they look.
#[derive(Clone, Default)]
pub(super) struct Look(Vec<(PathBuf, Stamp)>);

impl Look {
    /// How the files look now. A folder that cannot be read has none.
    pub(super) fn now(options: &Options) -> Self {
        let paths = resources::paths(options).unwrap_or_default();
        Self(paths.into_iter().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// Whether another look is the same.
    fn is(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && a.1.is(&b.1))
    }
}

impl Follower {
    /// Follows the files until `leave`.
    pub(super) async fn follow(mut self, leave: CancellationToken) {
        let mut before = Look::now(&self.options);
        let (mut pause, longest) = PAUSES;
        let mut again = self.beside.lacks().then(|| Instant::now() + pause);
        loop {
            tokio::select! {
                () = leave.cancelled() => return,
                () = tokio::time::sleep(self.options.looks) => {}
            }
            let now = Look::now(&self.options);
            // Taken when they hold still: files of one change are written one after the other.
            let has_changed = !now.is(&self.taken) && now.is(&before);
            if has_changed || again.is_some_and(|at| at <= Instant::now()) {
                pause = if has_changed { PAUSES.0 } else { (pause * 2).min(longest) };
                let is_whole = self.take(&leave).await;
                again = (!is_whole).then(|| Instant::now() + pause);
                self.taken = now;
            } else {
                before = now;
            }
        }
    }

    fn load(&self) -> anyhow::Result<Resources> {
        let resources = resources::load(&self.options, self.beside.plugged())?;
        Ok(resources::for_app(resources, &self.options.app_id))
    }

    /// Whether there is nothing to be tried again.
    async fn take(&self, leave: &CancellationToken) -> bool {
        let resources = match self.load() {
            Ok(resources) => resources,
            // The faults themselves are on the terminal.
            Err(error) if error.is::<exit::Explained>() => {
                tracing::error!("keeping the resources as they were: the files have faults");
                return true;
            }
            Err(error) => {
                tracing::error!("keeping the resources as they were: {error:#}");
                return false;
            }
        };
        if let Err(error) = self.beside.reload(&self.options, &resources).await {
            tracing::error!("keeping the resources as they were: {error:#}");
            return false;
        }
        self.beside.relay(&self.work, &self.stay);
        tracing::info!(components = resources.components.len(), "reloaded the resources");
        self.deliveries.declare(resources.subscriptions, leave);
        !self.beside.lacks()
    }
}
