//! Google Cloud Run: instances for what was measured, and instances on demand for requests that find no room.
//!
//! Every 5 s: ceil(mean concurrency of a minute ÷ what an instance is meant for), where that is 60 % of its concurrency
//! unless set. A request that finds no room waits in front of the service and has an instance started for it, unless
//! those that start already have room for it; it waits 10 s or 3.5 times the start of an instance, whichever is longer,
//! and is then refused with 429. An instance without work stays for up to 15 minutes: here, always for that long. One
//! that goes is given no more requests and finishes what it has, for as long as a request may take.

use super::{Bounds, Def, Policy, Removal, Setup, View};
use crate::simulate::whole;

pub(super) const DEF: Def = Def {
    name: "cloud-run",
    about: "Google Cloud Run: metrics of a minute, and instances on demand; can do without replicas",
    make: |setup| Box::new(CloudRun::new(setup)),
    notes: |_| {
        vec!["Cloud Run keeps instances without work for up to 15 minutes, and bills them or not by its billing setting; \
              they are counted here for the whole time."
            .to_owned()]
    },
};

const TICK_MS: u64 = 5_000;
const WINDOW_SECONDS: u64 = 60;
const SHARE: f64 = 0.6;
const IDLE_MS: u64 = 900_000;
const PATIENCE_MS_MIN: u64 = 10_000;
/// The longest time that a request may be given.
const REQUEST_MS_MAX: u64 = 3_600_000;

/// How long a request may wait, for a service whose instances take this long to start: 3.5 times that, 10 s at least.
fn patience_ms(start_ms: u64) -> u64 {
    (start_ms.saturating_mul(7) / 2).max(PATIENCE_MS_MIN)
}

/// Instances that must be starting for requests that wait.
fn on_demand(waiting: u32, concurrency: u32) -> u32 {
    waiting.div_ceil(concurrency.max(1))
}

struct CloudRun {
    bounds: Bounds,
    target: f64,
    concurrency: u32,
    patience_ms: u64,
    /// When, and how many instances there had work for; those that are as old as an idle instance may be are forgotten.
    needed: Vec<(u64, u32)>,
}

impl CloudRun {
    fn new(setup: &Setup) -> Self {
        let (bounds, target) = (setup.bounds(), setup.target_or(SHARE));
        let patience_ms = patience_ms(setup.start_ms);
        Self { bounds, target, concurrency: setup.concurrency, patience_ms, needed: Vec::new() }
    }

    /// What is needed now, or was within the time for which an idle instance stays.
    fn kept(&mut self, now_ms: u64, needed: u32) -> u32 {
        self.needed.retain(|(at_ms, _)| now_ms - at_ms < IDLE_MS);
        self.needed.push((now_ms, needed));
        self.needed.iter().map(|(_, needed)| *needed).max().unwrap_or(needed)
    }

    fn demanded(&self, seen: &View<'_>) -> u32 {
        seen.gauges.ready + on_demand(seen.gauges.waiting, self.concurrency)
    }
}

impl Policy for CloudRun {
    fn period_ms(&self) -> u64 {
        TICK_MS
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let measured = whole(seen.running_mean(WINDOW_SECONDS) / self.target);
        let demanded = if seen.gauges.waiting > 0 { self.demanded(seen) } else { 0 };
        // An instance that works is needed, however few would do.
        let working = seen.gauges.running.div_ceil(self.concurrency.max(1));
        let needed = self.bounds.clamp(measured.max(demanded).max(working));
        self.kept(seen.now_ms, needed)
    }

    fn on_wait(&mut self, seen: &View<'_>) -> Option<u32> {
        let wanted = self.bounds.clamp(self.demanded(seen));
        (wanted > seen.wanted).then(|| {
            self.needed.push((seen.now_ms, wanted));
            wanted
        })
    }

    fn patience_ms(&self) -> Option<u64> {
        Some(self.patience_ms)
    }

    fn removal(&self) -> Removal {
        Removal::Idlest
    }

    fn grace_ms(&self) -> Option<u64> {
        Some(REQUEST_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SETUP;
    use super::*;

    #[test]
    fn a_request_waits_for_three_and_a_half_starts_or_ten_seconds() {
        assert_eq!([patience_ms(1000), patience_ms(2857), patience_ms(20_000)], [10_000, 10_000, 70_000]);
    }

    #[test]
    fn requests_that_wait_have_as_many_instances_started_as_they_fill() {
        // 8 at once an instance: 1 to 8 need one, 9 need two.
        assert_eq!([on_demand(0, 8), on_demand(1, 8), on_demand(8, 8), on_demand(9, 8)], [0, 1, 1, 2]);
    }

    #[test]
    fn the_target_is_sixty_percent_unless_it_is_said() {
        assert_eq!(CloudRun::new(&Setup { target: None, concurrency: 80, ..SETUP }).target, 48.0);
        assert_eq!(CloudRun::new(&Setup { target: Some(40.0), concurrency: 80, ..SETUP }).target, 40.0);
    }

    #[test]
    fn an_instance_stays_for_fifteen_minutes_after_its_work() {
        let mut policy = CloudRun::new(&SETUP);
        assert_eq!(policy.kept(0, 5), 5);
        assert_eq!(policy.kept(5_000, 2), 5);
        assert_eq!(policy.kept(899_000, 1), 5);
        assert_eq!(policy.kept(900_000, 1), 2);
        assert_eq!(policy.kept(905_000, 0), 1);
    }
}
