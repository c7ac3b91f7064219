//! KEDA's ScaledObject: an HPA over an external metric between one and many, and KEDA's own loop between none and one.
//!
//! The HPA it makes divides the metric's sum by the target (`AverageValue`), so pods that start need no rules. The loop
//! looks every `pollingInterval`: above none, a replica is started (or the fewest, if that is more); once nothing has
//! been seen for `cooldownPeriod`, all go. The values are those that `mainstay ship` writes.

use super::hpa::behavior::Behavior;
use super::hpa::{SHARE, SYNC_MS, Scaling, within_tolerance};
use super::{Bounds, Def, Policy, Setup, View};
use crate::simulate::whole;
use crate::targets::kubernetes::scaling::{COOLDOWN_SECONDS, POLLING_SECONDS};

pub(super) const DEF: Def = Def {
    name: "keda",
    about: "KEDA on requests in flight, with the values that `mainstay ship` writes; can do without replicas",
    make: |setup| Box::new(Keda::new(setup)),
    notes: |setup| {
        let note = "KEDA wakes a service without replicas only if its trigger sees requests that wait in front of it \
                    (a proxy that holds them); a metric of the replicas themselves is silent then.";
        if setup.replicas_min == 0 { vec![note.to_owned()] } else { Vec::new() }
    },
};

/// The replicas that an external metric's sum asks for (`GetExternalPerPodMetricReplicas`); `current` is not 0.
pub(super) fn recommended(current: u32, sum: f64, target: f64) -> u32 {
    let ratio = sum / (target * f64::from(current));
    if within_tolerance(ratio) { current } else { whole(sum / target) }
}

/// Whether there are to be replicas at all.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    cooldown_ms: u64,
    active_ms: Option<u64>,
}

impl Activation {
    pub(super) fn new(cooldown_ms: u64) -> Self {
        Self { cooldown_ms, active_ms: None }
    }

    /// The replicas after a look at whether there is work. What was never active goes without cooling down.
    pub(super) fn look(&mut self, now_ms: u64, current: u32, min: u32, has_work: bool) -> u32 {
        if has_work {
            self.active_ms = Some(now_ms);
            return if current == 0 { min.max(1) } else { current };
        }
        let cold = self.active_ms.is_none_or(|active_ms| active_ms + self.cooldown_ms < now_ms);
        if current > 0 && min == 0 && cold { 0 } else { current.max(min) }
    }
}

struct Keda {
    bounds: Bounds,
    target: f64,
    lag_ms: u64,
    activation: Activation,
    scaling: Scaling,
}

impl Keda {
    fn new(setup: &Setup) -> Self {
        let bounds = setup.bounds();
        Self {
            bounds,
            target: setup.target_or(SHARE),
            lag_ms: setup.metric_lag_ms,
            activation: Activation::new(COOLDOWN_SECONDS * 1000),
            scaling: Scaling::new(Behavior::shipped(setup.scale_up, setup.scale_down), bounds.min),
        }
    }
}

impl Policy for Keda {
    /// Both the loop and the HPA look at multiples of this.
    fn period_ms(&self) -> u64 {
        5_000
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let Some(load) = seen.load_before(self.lag_ms) else { return seen.wanted };
        let mut wanted = seen.wanted;
        if seen.now_ms.is_multiple_of(POLLING_SECONDS * 1000) {
            wanted = self.activation.look(seen.now_ms, wanted, self.bounds.min, load > 0);
        }
        // An HPA leaves a workload without replicas alone, and its own least is 1.
        if wanted > 0 && wanted == seen.wanted && seen.now_ms.is_multiple_of(SYNC_MS) {
            let bounds = Bounds { min: self.bounds.min.max(1), ..self.bounds };
            let asked = recommended(wanted, load.into(), self.target);
            wanted = self.scaling.settle(seen.now_ms, wanted, asked, bounds);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_divided_by_the_target() {
        // 36 in flight at 6 a replica: 6, however many there are.
        assert_eq!([recommended(1, 36.0, 6.0), recommended(4, 36.0, 6.0), recommended(9, 36.0, 6.0)], [6; 3]);
        // 26 over 6 × 4: 1.083, within a tenth, so 4 stays where ceil(4.33) would be 5.
        assert_eq!(recommended(4, 26.0, 6.0), 4);
        // 27 over 24: 1.125, ceil(4.5) = 5.
        assert_eq!(recommended(4, 27.0, 6.0), 5);
        assert_eq!(recommended(4, 0.0, 6.0), 0);
    }

    #[test]
    fn the_first_replica_comes_with_work_and_the_last_goes_after_the_cooldown() {
        let mut activation = Activation::new(300_000);
        assert_eq!(activation.look(15_000, 0, 0, false), 0);
        assert_eq!(activation.look(30_000, 0, 0, true), 1);
        assert_eq!(activation.look(45_000, 4, 0, true), 4);
        // Last active at 45 s: at 345 s the period is not yet passed, at 360 s it is, whatever the HPA has.
        assert_eq!(activation.look(345_000, 4, 0, false), 4);
        assert_eq!(activation.look(360_000, 4, 0, false), 0);
    }

    #[test]
    fn the_fewest_replicas_come_together_and_never_go() {
        let mut activation = Activation::new(300_000);
        assert_eq!(activation.look(15_000, 0, 3, true), 3);
        assert_eq!(activation.look(900_000, 3, 3, false), 3);
    }

    #[test]
    fn what_was_never_active_does_not_cool_down() {
        assert_eq!(Activation::new(300_000).look(15_000, 2, 0, false), 0);
    }
}
