//! Forgetting old runs while serving: one purge at a time, in a task of its own, so that a disk that hangs holds up
//! neither a signal nor a reload.

use std::sync::Arc;

use mainstay_core::journal::{Retention, RunJournal};
use mainstay_core::{Clock as _, Ctx, Plan};
use mainstay_net::clock::SystemClock;
use tokio::task::JoinHandle;

/// The purge at work, if there is one.
#[derive(Debug, Default)]
pub(super) struct Purge(Option<JoinHandle<()>>);

impl Purge {
    /// Forgets what the plan does not keep.
    pub(super) fn begin(&mut self, journal: Arc<dyn RunJournal>, plan: &Plan) {
        let age_ms = u64::try_from(plan.data.retention.as_millis()).unwrap_or(u64::MAX);
        let before_ms = SystemClock.now_ms().saturating_sub(age_ms);
        let keep = Retention { before_ms, bytes_max: plan.data.bytes_max };
        if !self.start(forget(journal, keep)) {
            tracing::warn!("the journal is still forgetting old runs since the last time; is its disk slow?");
        }
    }

    /// Starts `work` unless what was started before is still at work; says whether it did.
    fn start(&mut self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let is_free = self.0.as_ref().is_none_or(JoinHandle::is_finished);
        if is_free {
            self.0 = Some(tokio::spawn(work));
        }
        is_free
    }
}

async fn forget(journal: Arc<dyn RunJournal>, keep: Retention) {
    match journal.purge(&Ctx::system(), keep).await {
        Ok(purged) if purged.runs > 0 => {
            tracing::info!(runs = purged.runs, "forgot runs past their retention");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(code = error.code().id, "cannot forget old runs: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_purge_that_hangs_holds_nothing_up_and_is_not_started_twice() {
        let (let_go, hangs) = oneshot::channel::<()>();
        let mut purge = Purge::default();
        assert!(purge.start(async { drop(hangs.await) }), "nothing was at work");
        assert!(!purge.start(async { panic!("a second one beside the first") }));
        let_go.send(()).unwrap();
        while !purge.0.as_ref().unwrap().is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(purge.start(async {}), "the first has ended");
    }
}
