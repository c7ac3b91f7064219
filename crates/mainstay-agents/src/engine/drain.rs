//! Readiness and the way down: refuse, wait, then cut what is left, on record.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_core::{Ctx, Result, metric};

use super::Engine;
use crate::run::live::Stop;

/// How long the runs that were cut may take to record it.
const CUT_RECORD_MAX: Duration = Duration::from_secs(5);

impl Engine {
    /// Whether what the engine stands on works: (`journal`, …), (`app <agent>`, …) for every app agent and (`tool
    /// <name>`, …) for every tool whose server can be asked.
    pub async fn ready(&self, ctx: &Ctx) -> Vec<(String, Result<()>)> {
        let table = self.table();
        let apps = table.agents.iter().filter_map(|(name, entry)| entry.app.as_ref().map(|app| (name, app)));
        let apps = join_all(apps.map(|(name, app)| async move {
            (format!("{}{name}", metric::DEPENDENCY_APP), app.ready(ctx).await)
        }));
        // Agents share tools, and each is asked once.
        let tools: BTreeMap<_, _> = table.agents.values().flat_map(|entry| &entry.tools).collect();
        let tools = join_all(tools.into_iter().map(|(name, tool)| async move {
            Some((format!("{}{name}", metric::DEPENDENCY_TOOL), tool.ready(ctx).await?))
        }));
        let (journal, apps, tools) = tokio::join!(self.shared.ports.journal.probe(ctx), apps, tools);
        let journal = std::iter::once((metric::DEPENDENCY_JOURNAL.to_owned(), journal));
        journal.chain(apps).chain(tools.into_iter().flatten()).collect()
    }

    /// Whether new runs are refused because of [`Engine::drain`].
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.live.is_draining()
    }

    /// Refuses new runs with `DRAINING`, waits up to `grace` for those queued or at work, then ends the rest as
    /// `interrupted`, on record, and returns how many those were. Bounded even when the journal hangs.
    pub async fn drain(&self, grace: Duration) -> u64 {
        self.shared.live.drain();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_ok() {
            return 0;
        }
        let rest = self.shared.live.all();
        rest.iter().for_each(|run| run.stop(Stop::interrupted()));
        if tokio::time::timeout(CUT_RECORD_MAX, self.shared.tasks.wait()).await.is_err() {
            tracing::error!(runs = self.active(), "runs could not record that they were cut");
        }
        rest.len() as u64
    }
}
