//! Every policy of the list against the same simple traces.

use super::*;
use crate::simulate::trace::Request;
use crate::simulate::{Service, Trace};

pub(super) const SETUP: Setup = Setup {
    scale_up: Pace::UP,
    scale_down: Pace::DOWN,
    replicas_min: 1,
    replicas_max: 20,
    target: None,
    concurrency: 8,
    start_ms: 20_000,
    metric_lag_ms: 15_000,
    takes_ms_mean: 4000.0,
    load_mean: 8.0,
};

/// An hour of requests of 4 s: `before` a second for 20 minutes, then `after`.
fn step(before: u64, after: u64) -> Trace {
    let seconds = (0..3600_u64).flat_map(|second| {
        let rate = if second < 1200 { before } else { after };
        (0..rate).map(move |n| second * 1000 + n * 1000 / rate)
    });
    let requests = seconds.map(|at_ms| Request { at_ms, ..Request::default() });
    Trace { requests: requests.collect(), span_ms: 3_600_000 }
}

fn outcome(def: &Def, setup: &Setup, trace: &Trace) -> crate::simulate::Outcome {
    let service = Service { fixed_ms: 4000, concurrency: setup.concurrency, ..Service::default() };
    crate::simulate::run(trace, &service, &mut *(def.make)(setup))
}

fn last_replicas(outcome: &crate::simulate::Outcome) -> u32 {
    outcome.samples.last().unwrap().ready
}

#[test]
fn names_are_unique_and_every_policy_keeps_its_bounds() {
    for (at, def) in ALL.iter().enumerate() {
        assert!(ALL[at + 1..].iter().all(|other| other.name != def.name), "{}", def.name);
        let found = outcome(def, &Setup { replicas_max: 3, ..SETUP }, &step(1, 8));
        assert!(found.peak <= 3 && found.samples.iter().all(|s| s.ready <= 3), "{}", def.name);
        assert!(found.samples.iter().all(|sample| sample.ready >= 1), "{}", def.name);
        let upside_down = Setup { replicas_min: 9, replicas_max: 0, ..SETUP };
        assert!(outcome(def, &upside_down, &step(1, 1)).peak <= 1, "{}", def.name);
    }
}

#[test]
fn every_autoscaler_settles_where_its_formula_says() {
    // 8 a second for 4 s each: 32 in flight. At 4.8 a replica that is 6.67, so 7; Knative aims at 5.6, so 6.
    // ECS: 480 a minute over 72 a task are the same 7. Container Apps counts 8 a second: 8 ÷ 4.8, so 2, which is 16 in
    // flight at once and half of what comes.
    for (name, replicas) in
        [("hpa", 7), ("hpa-default", 7), ("keda", 7), ("knative", 6), ("cloud-run", 7), ("ecs", 7)]
    {
        let found = outcome(find(name).unwrap(), &SETUP, &step(1, 8));
        let last = last_replicas(&found);
        // Backlogs ask for more for a while, and what was once started goes slowly.
        assert!((replicas..=replicas * 2 + 2).contains(&last), "{name}: {last}");
        assert_eq!((found.unserved, found.waits_ms.last()), (0, Some(&0)), "{name}");
    }
    let found = outcome(find("container-apps").unwrap(), &SETUP, &step(1, 8));
    assert_eq!(last_replicas(&found), 2);
    assert!(*found.waits_ms.last().unwrap() > 60_000);
}

#[test]
fn a_quiet_service_goes_back_to_its_fewest() {
    for def in ALL.iter().filter(|def| def.name != "fixed") {
        let found = outcome(def, &SETUP, &step(8, 0));
        assert_eq!(last_replicas(&found), 1, "{}", def.name);
    }
}

#[test]
fn without_replicas_the_first_request_starts_one_where_the_platform_can() {
    let lone = Trace { requests: vec![Request { at_ms: 100_000, ..Request::default() }], span_ms: 1_800_000 };
    let setup = Setup { replicas_min: 0, ..SETUP };
    // What is asked for at once is there after the start; KEDA looks every 15 s at what is 15 s old: at 120 s it sees
    // 105 s.
    for (name, wait_ms) in
        [("knative", 20_000), ("cloud-run", 20_000), ("container-apps", 20_000), ("keda", 40_000)]
    {
        let found = outcome(find(name).unwrap(), &setup, &lone);
        assert_eq!((found.waits_ms[0], found.cold, found.starts), (wait_ms, 1, 1), "{name}");
        assert_eq!(found.samples.last().unwrap().up, 0, "{name} keeps a replica");
    }
    for name in ["fixed", "hpa", "hpa-default", "ecs"] {
        assert_eq!(outcome(find(name).unwrap(), &setup, &lone).waits_ms[0], 0, "{name} has one always");
        let noted = (find(name).unwrap().notes)(&setup).iter().any(|note| note.contains("one at least"));
        assert!(noted || name == "fixed", "{name}");
    }
}
