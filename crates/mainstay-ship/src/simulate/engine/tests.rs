//! The simulation against cases that are worked by hand.

use super::*;
use crate::simulate::policies::{Policy, Removal, View};
use crate::simulate::trace::Request;

/// A policy that asks for what a table says from a time on.
struct Script {
    initial: u32,
    steps: &'static [(u64, u32)],
    patience_ms: Option<u64>,
}

impl Policy for Script {
    fn period_ms(&self) -> u64 {
        1000
    }

    fn initial(&self) -> u32 {
        self.initial
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        let past = self.steps.iter().rfind(|(at_ms, _)| *at_ms <= seen.now_ms);
        past.map_or(self.initial, |(_, wanted)| *wanted)
    }

    fn patience_ms(&self) -> Option<u64> {
        self.patience_ms
    }

    fn removal(&self) -> Removal {
        Removal::Newest
    }
}

fn trace(ats_ms: &[u64]) -> Trace {
    let requests = ats_ms.iter().map(|&at_ms| Request { at_ms, ..Request::default() });
    Trace { requests: requests.collect(), span_ms: 60_000 }
}

/// Ten seconds a request, one at a time, five seconds to start, four of grace.
const SERVICE: Service = Service {
    fixed_ms: 10_000,
    prefill_tokens_per_second: 1,
    decode_us_per_token: 0,
    concurrency: 1,
    start_ms: 5000,
    grace_ms: 4000,
};

fn outcome(ats_ms: &[u64], initial: u32, steps: &'static [(u64, u32)], patience_ms: Option<u64>) -> Outcome {
    run(&trace(ats_ms), &SERVICE, &mut Script { initial, steps, patience_ms })
}

#[test]
fn requests_wait_in_the_order_in_which_they_came() {
    // One replica, 10 s each: the first starts at 0, the next at 10 s, the third at 20 s.
    let found = outcome(&[0, 1000, 2000], 1, &[], None);
    assert_eq!(found.waits_ms, [0, 9000, 18_000]);
    assert_eq!((found.starts, found.scale_events, found.cold, found.peak), (0, 0, 0, 1));
    // One replica for the minute of the trace.
    assert_eq!(found.up_ms, 60_000);
    assert_eq!(found.samples.len(), 60);
    assert_eq!(found.samples[4], Sample { running: 1, waiting: 2, ready: 1, up: 1 });
}

#[test]
fn a_replica_takes_requests_after_its_start_and_costs_from_the_decision() {
    // Asked for at 2 s, ready at 7 s: the second request begins then instead of at 10 s.
    let found = outcome(&[0, 1000], 1, &[(2000, 2)], None);
    assert_eq!(found.waits_ms, [0, 6000]);
    assert_eq!((found.starts, found.cold, found.scale_events, found.peak), (1, 1, 1, 2));
    assert_eq!(found.up_ms, 60_000 + 58_000);
    assert_eq!(found.samples[5], Sample { running: 1, waiting: 1, ready: 1, up: 2 });
}

#[test]
fn a_replica_that_goes_finishes_within_its_grace_and_is_cut_beyond() {
    // Two at work from 0 to 10 s. At 7 s one goes: 3 s are left, and 4 s of grace are enough; it exists for 10 s.
    let found = outcome(&[0, 0], 2, &[(7000, 1)], None);
    assert_eq!((found.cut, found.up_ms), (0, 60_000 + 10_000));
    // At 3 s it has 7 s to go, and is cut after 4 s.
    let found = outcome(&[0, 0], 2, &[(3000, 1)], None);
    assert_eq!((found.cut, found.up_ms), (1, 60_000 + 7000));
    assert_eq!(found.samples[4], Sample { running: 2, waiting: 0, ready: 1, up: 2 });
    assert_eq!(found.samples[7], Sample { running: 1, waiting: 0, ready: 1, up: 1 });
}

#[test]
fn a_replica_that_still_starts_goes_first() {
    let found = outcome(&[0], 1, &[(2000, 2), (4000, 1)], None);
    assert_eq!((found.cut, found.up_ms, found.scale_events), (0, 60_000 + 2000, 2));
}

#[test]
fn who_waits_too_long_is_refused() {
    // The third would begin at 20 s; it gives up 12 s after it came.
    let found = outcome(&[0, 1000, 2000], 1, &[], Some(12_000));
    assert_eq!(found.waits_ms, [0, 9000, 12_000]);
    assert_eq!((found.refused, found.unserved), (1, 0));
}

#[test]
fn what_is_never_served_is_counted() {
    let found = outcome(&[0, 50_000], 0, &[], None);
    assert_eq!((found.unserved, found.up_ms), (2, 0));
    // It waits until an hour after the minute's end.
    assert_eq!(found.waits_ms, [3_660_000, 3_610_000]);
}

#[test]
fn a_trace_without_requests_only_costs() {
    assert_eq!(outcome(&[], 2, &[], None).up_ms, 120_000);
}

#[test]
fn the_same_trace_has_the_same_outcome() {
    let ats: Vec<u64> =
        (0..300).map(|n| n * 137 % 50_000).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let once = || outcome(&ats, 3, &[(10_000, 8), (30_000, 2)], None);
    assert_eq!(once(), once());
}

#[test]
fn waits_at_one_replica_are_those_of_queueing_theory() {
    // Independent callers, one second of work each, one replica (M/D/1): the mean wait is load × 1 s / (2 × (1 −
    // load)).
    for (requests_per_minute, mean_ms) in [(30, 500.0), (48, 2000.0)] {
        let kind = crate::simulate::synthetic::find("steady").unwrap();
        let synthetic = crate::simulate::synthetic::Synthetic {
            kind,
            requests_per_minute,
            minutes: 4000,
            seed: 11,
            input_tokens: 1,
            output_tokens: 1,
        };
        let trace = synthetic.trace().unwrap();
        let service = Service { fixed_ms: 1000, prefill_tokens_per_second: u32::MAX, ..SERVICE };
        let found = run(&trace, &service, &mut Script { initial: 1, steps: &[], patience_ms: None });
        let mean = found.waits_ms.iter().sum::<u64>() as f64 / found.waits_ms.len() as f64;
        assert!((mean / mean_ms - 1.0).abs() < 0.06, "{requests_per_minute}: {mean}");
    }
}
