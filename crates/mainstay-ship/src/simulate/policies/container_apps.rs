//! Azure Container Apps with its HTTP rule: KEDA underneath, over a metric of its own.
//!
//! Every 15 s the metric is the number of requests that came in the last 15 s divided by 15: arrivals a second, which
//! it calls concurrent requests. Replicas = ceil(metric ÷ target), up by 1, 4 or 100 % a step, down after 300 s, to
//! none after 300 s without a request; the first replica comes with the first request.

use super::hpa::behavior::Behavior;
use super::hpa::{SHARE, Scaling};
use super::keda::{Activation, recommended};
use super::{Bounds, Def, Policy, Setup, View};

pub(super) const DEF: Def = Def {
    name: "container-apps",
    about: "Azure Container Apps' HTTP rule; can do without replicas",
    make: |setup| Box::new(ContainerApps::new(setup)),
    notes: |setup| {
        let (target, seconds) = (setup.target_or(SHARE), setup.takes_ms_mean / 1000.0);
        vec![format!(
            "Container Apps counts arrivals a second and calls them concurrent requests: with {seconds:.1} s a request, its \
             {target:.1} a replica are {:.0} in flight; for {target:.1} in flight set `concurrentRequests` to {:.1}.",
            target * seconds,
            target / seconds.max(0.001),
        )]
    },
};

/// How often, and over what, requests are counted.
const WINDOW_SECONDS: u64 = 15;
const COOLDOWN_MS: u64 = 300_000;

/// What it calls concurrent requests.
fn metric(arrivals: u64) -> f64 {
    arrivals as f64 / WINDOW_SECONDS as f64
}

struct ContainerApps {
    bounds: Bounds,
    target: f64,
    activation: Activation,
    scaling: Scaling,
}

impl ContainerApps {
    fn new(setup: &Setup) -> Self {
        let bounds = setup.bounds();
        Self {
            bounds,
            target: setup.target_or(SHARE),
            activation: Activation::new(COOLDOWN_MS),
            scaling: Scaling::new(Behavior::kubernetes(), bounds.min),
        }
    }
}

impl Policy for ContainerApps {
    fn period_ms(&self) -> u64 {
        WINDOW_SECONDS * 1000
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let metric = metric(seen.arrivals(WINDOW_SECONDS));
        let busy = metric > 0.0 || seen.gauges.load() > 0;
        let wanted = self.activation.look(seen.now_ms, seen.wanted, self.bounds.min, busy);
        if wanted == 0 || wanted != seen.wanted {
            return wanted;
        }
        let bounds = Bounds { min: self.bounds.min.max(1), ..self.bounds };
        self.scaling.settle(seen.now_ms, wanted, recommended(wanted, metric, self.target), bounds)
    }

    fn on_wait(&mut self, seen: &View<'_>) -> Option<u32> {
        (seen.wanted == 0).then(|| self.activation.look(seen.now_ms, 0, self.bounds.min, true))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SETUP;
    use super::*;

    #[test]
    fn the_metric_is_arrivals_a_second() {
        // 150 requests in 15 s are 10, however long each takes.
        assert_eq!(metric(150), 10.0);
        // At 4 a replica: ceil(2.5) = 3.
        assert_eq!(recommended(1, metric(150), 4.0), 3);
    }

    #[test]
    fn steps_up_are_four_and_then_double() {
        // The documented example: 50 waiting at 5 each ask for 10; from 1 that is min(20, 10, max(4 + 1, 2)).
        let bounds = Bounds { min: 0, max: 20 };
        let mut scaling = Scaling::new(Behavior::kubernetes(), 0);
        assert_eq!(recommended(1, 50.0, 5.0), 10);
        assert_eq!(scaling.settle(15_000, 1, 10, bounds), 5);
        assert_eq!(scaling.settle(30_000, 5, 10, bounds), 10);
    }

    #[test]
    fn the_note_says_what_the_target_means() {
        let notes = (DEF.notes)(&Setup { target: Some(10.0), takes_ms_mean: 4000.0, ..SETUP });
        assert!(notes[0].contains("10.0 a replica are 40 in flight"), "{notes:?}");
        assert!(notes[0].contains("set `concurrentRequests` to 2.5"), "{notes:?}");
    }
}
