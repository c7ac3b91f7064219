//! Kubernetes' HorizontalPodAutoscaler on a metric of pods, `autoscaling/v2`: the formula of its replica calculator,
//! its rules for pods without a measurement, its stabilisation windows and its rates (`behavior.rs`).
//!
//! Every 15 s (`--horizontal-pod-autoscaler-sync-period`). The metric is requests in flight of a pod, a scrape old. A
//! pod that starts counts as pending until it is ready; one that became ready after the scrape has no measurement yet.

pub mod behavior;

use behavior::Behavior;
pub(super) use behavior::Scaling;

use super::{Bounds, Def, Policy, Setup, View};
use crate::simulate::whole;

pub(super) const DEF: Def = Def {
    name: "hpa",
    about: "Kubernetes' HPA on requests in flight, with the behaviour that `mainstay ship` writes",
    make: |setup| with(setup, Behavior::shipped(setup.scale_up, setup.scale_down)),
    notes: from_one,
};

pub(super) const DEFAULTS: Def = Def {
    name: "hpa-default",
    about: "the same with Kubernetes' default behaviour",
    make: |setup| with(setup, Behavior::kubernetes()),
    notes: from_one,
};

/// How often the controller looks, in milliseconds.
pub(super) const SYNC_MS: u64 = 15_000;
/// How far a ratio may be from 1 without a change.
const TOLERANCE: f64 = 0.1;
/// The share of a replica's concurrency that is aimed at where no target is given.
pub(super) const SHARE: f64 = 0.6;

/// An HPA with a behaviour of one's own.
#[must_use]
pub fn with(setup: &Setup, behavior: Behavior) -> Box<dyn Policy> {
    Box::new(Hpa::new(setup, behavior))
}

fn from_one(setup: &Setup) -> Vec<String> {
    let note = "Kubernetes' HPA cannot start a replica for a request: it is simulated with one at least.";
    if setup.replicas_min == 0 { vec![note.to_owned()] } else { Vec::new() }
}

pub(super) fn within_tolerance(ratio: f64) -> bool {
    (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio)
}

/// A metric of pods as the controller finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    /// The sum over the pods that are measured.
    sum: u32,
    /// Pods that are measured.
    pods: u32,
    /// Running pods without a measurement.
    missing: u32,
    /// Pending pods.
    unready: u32,
}

/// The replicas that a metric of pods asks for (`calcPlainMetricReplicas`). `None` without any measurement.
fn recommended(current: u32, measured: Measured, target: f64) -> Option<u32> {
    let Measured { sum, pods, missing, unready } = measured;
    if pods == 0 {
        return None;
    }
    // Quantities are whole thousandths, as in the API.
    let (sum, target) = (u64::from(sum) * 1000, (target * 1000.0).round().max(1.0) as u64);
    let ratio = |sum: u64, pods: u32| (sum / u64::from(pods)) as f64 / target as f64;
    let found = ratio(sum, pods);
    let up_with_unready = unready > 0 && found > 1.0;
    if !up_with_unready && missing == 0 {
        return Some(if within_tolerance(found) { current } else { whole(found * f64::from(pods)) });
    }
    // On the way down those without a measurement count as on target, on the way up as idle.
    let (mut counted, mut filled) = (pods, sum);
    if missing > 0 && found != 1.0 {
        counted += missing;
        filled += if found < 1.0 { target * u64::from(missing) } else { 0 };
    }
    if up_with_unready {
        counted += unready;
    }
    let corrected = ratio(filled, counted);
    let turned = (found < 1.0 && corrected > 1.0) || (found > 1.0 && corrected < 1.0);
    if within_tolerance(corrected) || turned {
        return Some(current);
    }
    let wanted = whole(corrected * f64::from(counted));
    let against = (corrected < 1.0 && wanted > current) || (corrected > 1.0 && wanted < current);
    Some(if against { current } else { wanted })
}

struct Hpa {
    bounds: Bounds,
    target: f64,
    lag_ms: u64,
    scaling: Scaling,
}

impl Hpa {
    fn new(setup: &Setup, behavior: Behavior) -> Self {
        let bounds = setup.bounds_from_one();
        let (target, lag_ms) = (setup.target_or(SHARE), setup.metric_lag_ms);
        Self { bounds, target, lag_ms, scaling: Scaling::new(behavior, bounds.min) }
    }
}

impl Policy for Hpa {
    fn period_ms(&self) -> u64 {
        SYNC_MS
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let pods = seen.ready_before(self.lag_ms);
        let (missing, unready) = (seen.gauges.ready - pods, seen.starting);
        let wanted = seen
            .load_before(self.lag_ms)
            .and_then(|sum| recommended(seen.wanted, Measured { sum, pods, missing, unready }, self.target));
        match wanted {
            Some(wanted) => self.scaling.settle(seen.now_ms, seen.wanted, wanted, self.bounds),
            None => seen.wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_agrees_with_hand_worked_cases() {
        let check = |current, (sum, pods, missing, unready), target, expected: u32| {
            let measured = Measured { sum, pods, missing, unready };
            assert_eq!(recommended(current, measured, target), Some(expected), "{measured:?}");
        };
        // Nothing missing. 36/4 = 9 over 6: ratio 1.5, ceil(1.5 × 4) = 6.
        check(4, (36, 4, 0, 0), 6.0, 6);
        // 26/4 = 6.5 over 6: ratio 1.083, within a tenth.
        check(4, (26, 4, 0, 0), 6.0, 4);
        // 27/4 = 6.75 over 6: ratio 1.125, ceil(4.5) = 5.
        check(4, (27, 4, 0, 0), 6.0, 5);
        // 10/4 = 2.5 over 6: ratio 0.4167, ceil(1.667) = 2.
        check(4, (10, 4, 0, 0), 6.0, 2);
        // 22/4 = 5.5 over 6: ratio 0.917, within a tenth.
        check(4, (22, 4, 0, 0), 6.0, 4);
        // Nothing at all: 0.
        check(4, (0, 4, 0, 0), 6.0, 0);
        // Two pods pending on the way up count as idle: 60/(4+2) = 10 over 6, ceil(1.667 × 6) = 10.
        check(6, (60, 4, 0, 2), 6.0, 10);
        // 36/(4+2) = 6 over 6: the two that come are enough.
        check(6, (36, 4, 0, 2), 6.0, 6);
        // 28/4 = 7 over 6 is up, 28/6 = 4.667 over 6 is down: it turned, so nothing.
        check(6, (28, 4, 0, 2), 6.0, 6);
        // Pending pods do not count on the way down: ceil(0.5 × 4) = 2.
        check(6, (12, 4, 0, 2), 6.0, 2);
        // Two pods without a measurement count as on target on the way down: (12 + 12)/6 = 4 over 6, ceil(0.667 × 6) =
        // 4.
        check(6, (12, 4, 2, 0), 6.0, 4);
        // And as idle on the way up: 54/(4+2) = 9 over 6, ceil(1.5 × 6) = 9.
        check(6, (54, 4, 2, 0), 6.0, 9);
        // Both on the way up: 56/(4+2+1) = 8 over 6, ceil(1.333 × 7) = 10 (9.33 rounded up).
        check(7, (56, 4, 2, 1), 6.0, 10);
        // A ratio of exactly 1 with a measurement missing: 24/4 over 6 stays.
        check(5, (24, 4, 1, 0), 6.0, 5);
    }

    #[test]
    fn without_a_measurement_there_is_no_recommendation() {
        assert_eq!(recommended(3, Measured { sum: 9, pods: 0, missing: 3, unready: 0 }, 6.0), None);
    }
}
