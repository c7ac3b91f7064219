//! How long to wait before a command that ended is started again. Sleeps nowhere.

use std::time::Duration;

/// When a command that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The wait after a first failure; doubled with each further one.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A command that ran so long is healthy: its failures are forgotten.
    pub stable_after: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
        }
    }
}

/// The failures in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Restart,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(policy: Restart) -> Self {
        Self { policy, failures: 0 }
    }

    /// The command ended after it `ran` so long: how long to wait now.
    pub(crate) fn failed(&mut self, ran: Duration) -> Duration {
        if ran >= self.policy.stable_after {
            self.failures = 0;
        }
        let wait = self.policy.first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        wait.min(self.policy.max)
    }

    /// Failures since the last stable run.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_stable_run() {
        let mut backoff = Backoff::new(Restart::default());
        let mut wait = |ran_s: u64| backoff.failed(Duration::from_secs(ran_s)).as_millis();
        let waits: Vec<u128> = (0..8).map(|_| wait(1)).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!((wait(59), wait(60), wait(1)), (30_000, 500, 1_000));
        assert_eq!(backoff.failures(), 2);
    }

    #[test]
    fn failures_without_end_do_not_overflow() {
        let mut backoff = Backoff::new(Restart::default());
        assert!((0..10_000).all(|_| backoff.failed(Duration::ZERO) <= Duration::from_secs(30)));
    }
}
