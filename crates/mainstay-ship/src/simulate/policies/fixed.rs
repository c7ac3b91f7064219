//! A fixed number of replicas: as many as the trace's mean load needs. What one would choose from a daily average, and
//! what the other policies are to be compared with.

use super::{Def, Policy, Setup, View};
use crate::simulate::whole;

pub(super) const DEF: Def = Def {
    name: "fixed",
    about: "as many replicas as the mean load needs, always",
    make: |setup| Box::new(Fixed { replicas: replicas(setup) }),
    notes: |_| Vec::new(),
};

/// The share of a replica's concurrency that is planned for where no target is given.
const SHARE: f64 = 0.6;

/// The mean load over the target, within the bounds.
fn replicas(setup: &Setup) -> u32 {
    setup.bounds_from_one().clamp(whole(setup.load_mean / setup.target_or(SHARE)))
}

struct Fixed {
    replicas: u32,
}

impl Policy for Fixed {
    fn period_ms(&self) -> u64 {
        60_000
    }

    fn initial(&self) -> u32 {
        self.replicas
    }

    fn decide(&mut self, _seen: &View<'_>) -> u32 {
        self.replicas
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SETUP;
    use super::*;

    #[test]
    fn it_is_sized_for_the_mean() {
        let of = |load_mean, target, replicas_min| {
            replicas(&Setup { load_mean, target, replicas_min, replicas_max: 10, ..SETUP })
        };
        // 12 in flight at 0.6 × 8 = 4.8 a replica: 2.5, so 3.
        assert_eq!(of(12.0, None, 1), 3);
        // 12 at 4 a replica: exactly 3.
        assert_eq!(of(12.0, Some(4.0), 1), 3);
        assert_eq!(of(0.0, None, 0), 1);
        assert_eq!(of(1000.0, None, 1), 10);
    }
}
