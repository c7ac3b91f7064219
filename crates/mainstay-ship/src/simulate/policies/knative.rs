//! Knative's pod autoscaler (KPA) on concurrency: a mean over a minute, and a panic over six seconds.
//!
//! Every 2 s: pods = ceil(mean ÷ target), once over the stable window of 60 s and once over the panic window of 6 s.
//! When the latter asks for twice what is ready, it panics: then nothing goes, until 60 s have passed without. Up by a
//! factor of 1000 at most, down by half of what is ready at most. A request that finds no pod is held by the activator,
//! which asks for one at once. A pod that goes has as long as a request may take (`timeoutSeconds`).

use super::{Bounds, Def, Policy, Setup, View};
use crate::simulate::whole;

pub(super) const DEF: Def = Def {
    name: "knative",
    about: "Knative's autoscaler on concurrency; can do without replicas",
    make: |setup| Box::new(Knative::new(setup)),
    notes: |_| Vec::new(),
};

const TICK_MS: u64 = 2_000;
const STABLE_SECONDS: u64 = 60;
/// Ten percent of the stable window.
const PANIC_SECONDS: u64 = 6;
/// Twice what is ready begins a panic.
const PANIC_THRESHOLD: f64 = 2.0;
const UP_RATE: f64 = 1000.0;
const DOWN_RATE: f64 = 2.0;
/// The last pod stays for this long, so that the network notices.
const ZERO_GRACE_MS: u64 = 30_000;
/// `revision-timeout-seconds`, which a pod's grace period is set to.
const GRACE_MS: u64 = 300_000;
/// `container-concurrency-target-percentage`.
const SHARE: f64 = 0.7;

/// The autoscaler's state: whether it panics, and up to where.
#[derive(Clone, Debug, Default)]
struct Scaler {
    panicked_ms: Option<u64>,
    panic_most: u32,
}

impl Scaler {
    /// The pods that two means ask for.
    fn wanted(&mut self, now_ms: u64, ready: u32, stable: f64, panic: f64, target: f64) -> u32 {
        let ready = f64::from(ready.max(1));
        let most = (UP_RATE * ready).ceil();
        let least = (ready / DOWN_RATE).floor();
        let asked = |mean: f64| whole((mean / target).ceil().max(least).min(most));
        if (panic / target).ceil() / ready >= PANIC_THRESHOLD {
            self.panicked_ms = Some(now_ms);
        } else if self.panicked_ms.is_some_and(|at_ms| at_ms + STABLE_SECONDS * 1000 < now_ms) {
            *self = Self::default();
        }
        if self.panicked_ms.is_none() {
            return asked(stable);
        }
        self.panic_most = self.panic_most.max(asked(stable)).max(asked(panic));
        self.panic_most
    }
}

struct Knative {
    bounds: Bounds,
    target: f64,
    scaler: Scaler,
    /// Since when there has been nothing to do.
    quiet_ms: Option<u64>,
}

impl Knative {
    fn new(setup: &Setup) -> Self {
        let (bounds, target) = (setup.bounds(), setup.target_or(SHARE));
        // With more than one pod it begins in panic, since it knows nothing of the past.
        let panicked_ms = (bounds.min > 1).then_some(0);
        let panic_most = if bounds.min > 1 { bounds.min } else { 0 };
        Self { bounds, target, scaler: Scaler { panicked_ms, panic_most }, quiet_ms: None }
    }
}

impl Policy for Knative {
    fn period_ms(&self) -> u64 {
        TICK_MS
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let (stable, panic) = (seen.load_mean(STABLE_SECONDS), seen.load_mean(PANIC_SECONDS));
        let wanted = self.scaler.wanted(seen.now_ms, seen.gauges.ready, stable, panic, self.target);
        let wanted = self.bounds.clamp(wanted);
        if wanted > 0 || seen.wanted == 0 {
            self.quiet_ms = None;
            return wanted;
        }
        let since = *self.quiet_ms.get_or_insert(seen.now_ms);
        if seen.now_ms - since < ZERO_GRACE_MS { seen.wanted.min(1) } else { 0 }
    }

    fn on_wait(&mut self, seen: &View<'_>) -> Option<u32> {
        (seen.wanted == 0).then_some(1)
    }

    fn grace_ms(&self) -> Option<u64> {
        Some(GRACE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_the_mean_over_the_target() {
        let mut scaler = Scaler::default();
        // Target 5.6 (0.7 × 8). 30 ÷ 5.6 = 5.36, so 6; over 6 s 32 ÷ 5.6 = 5.7, 6 of 4 ready is no panic.
        assert_eq!(scaler.wanted(0, 4, 30.0, 32.0, 5.6), 6);
        assert_eq!(scaler.panicked_ms, None);
        // Down by half of what is ready at most: 8 ready, 1 asked for, 4 left.
        assert_eq!(scaler.wanted(2000, 8, 5.0, 5.0, 5.6), 4);
        assert_eq!(scaler.wanted(4000, 1, 0.0, 0.0, 5.6), 0);
    }

    #[test]
    fn a_panic_begins_at_twice_what_is_ready_and_only_goes_up() {
        let mut scaler = Scaler::default();
        // Over 6 s 40 ÷ 5 = 8 of 4 ready: twice, so it panics.
        assert_eq!(scaler.wanted(10_000, 4, 10.0, 40.0, 5.0), 8);
        // Less is asked for and 8 stay; more is asked for and comes.
        assert_eq!(scaler.wanted(12_000, 4, 10.0, 20.0, 5.0), 8);
        assert_eq!(scaler.wanted(14_000, 8, 20.0, 45.0, 5.0), 9);
        // The larger of the two means counts.
        assert_eq!(scaler.wanted(16_000, 9, 60.0, 20.0, 5.0), 12);
        // 60 s after the last moment above the threshold it is still one; a tick later it is over.
        assert_eq!(scaler.wanted(70_000, 12, 30.0, 30.0, 5.0), 12);
        assert_eq!(scaler.wanted(72_000, 12, 30.0, 30.0, 5.0), 6);
    }

    #[test]
    fn what_stays_above_the_threshold_prolongs_the_panic() {
        let mut scaler = Scaler::default();
        assert_eq!(scaler.wanted(0, 1, 1.0, 10.0, 5.0), 2);
        assert_eq!(scaler.wanted(50_000, 1, 1.0, 10.0, 5.0), 2);
        assert_eq!(scaler.wanted(100_000, 2, 1.0, 1.0, 5.0), 2);
        assert_eq!(scaler.wanted(112_000, 2, 1.0, 1.0, 5.0), 1);
    }

    #[test]
    fn none_ready_counts_as_one() {
        // 4 ÷ 5 = 1 of 1.
        assert_eq!(Scaler::default().wanted(0, 0, 4.0, 4.0, 5.0), 1);
    }
}
