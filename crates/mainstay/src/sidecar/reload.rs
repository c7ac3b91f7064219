//! Reading the resource files again while a sidecar runs: what they say now, or what they said before with the faults shown.

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_core::resources::Resources;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deliveries::Deliveries;
use super::flags::Options;
use super::resources;
use crate::exit;
use crate::stamp::Stamp;
use crate::wire::sidecar::Beside;

/// What follows the files of a sidecar.
pub(super) struct Follower {
    pub(super) options: Options,
    pub(super) beside: Arc<Beside>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) work: TaskTracker,
}

/// Files, and how they look.
#[derive(Default)]
struct Look(Vec<(PathBuf, Stamp)>);

impl Look {
    /// How the files look now. A folder that cannot be read has none.
    fn now(options: &Options) -> Self {
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
    pub(super) async fn follow(self, leave: CancellationToken) {
        let mut taken = Look::now(&self.options);
        let mut before = Look::now(&self.options);
        loop {
            tokio::select! {
                () = leave.cancelled() => return,
                () = tokio::time::sleep(self.options.looks) => {}
            }
            let now = Look::now(&self.options);
            // Taken when they hold still: files of one change are written one after the other.
            if !now.is(&taken) && now.is(&before) {
                self.take(&leave).await;
                taken = now;
            } else {
                before = now;
            }
        }
    }

    fn load(&self) -> anyhow::Result<Resources> {
        let resources = resources::load(&self.options, self.beside.plugged())?;
        Ok(resources::for_app(resources, &self.options.app_id))
    }

    async fn take(&self, leave: &CancellationToken) {
        let resources = match self.load() {
            Ok(resources) => resources,
            // The faults themselves are on the terminal.
            Err(error) if error.is::<exit::Explained>() => {
                tracing::error!("keeping the resources as they were: the files have faults");
                return;
            }
            Err(error) => {
                tracing::error!("keeping the resources as they were: {error:#}");
                return;
            }
        };
        if let Err(error) = self.beside.reload(&self.options, &resources).await {
            tracing::error!("keeping the resources as they were: {error:#}");
            return;
        }
        self.beside.relay(&self.work, leave);
        tracing::info!(components = resources.components.len(), "reloaded the resources");
        self.deliveries.declare(resources.subscriptions, leave);
    }
}
