//! How much is in flight, and whether new work is still taken. It refuses nothing itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The counters of a surface.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicUsize,
    draining: AtomicBool,
    idle: Notify,
}

impl Load {
    /// Counts one more, unless there are `max` already. Who is refused is not counted, however long the refusal takes:
    /// else refusals would crowd out work.
    pub(crate) fn enter(&self, max: usize) -> bool {
        let fits = self.in_flight.fetch_add(1, Ordering::AcqRel) < max;
        if !fits {
            self.leave();
        }
        fits
    }

    pub(crate) fn leave(&self) {
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let next = self.idle.notified();
            tokio::pin!(next);
            // Listening before looking, so that a leave in between is not missed.
            next.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            next.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_waits_for_the_last_to_leave() {
        let load = Load::default();
        assert!(load.enter(2) && load.enter(2));
        assert!(!load.enter(2));
        assert_eq!(load.in_flight(), 2);
        let idle = load.idle();
        tokio::pin!(idle);
        assert!(futures_util::poll!(idle.as_mut()).is_pending());
        load.leave();
        assert!(futures_util::poll!(idle.as_mut()).is_pending());
        load.leave();
        assert!(futures_util::poll!(idle.as_mut()).is_ready());
    }
}
