//! ★ Policies: what adds and removes replicas. To add one: a file in `policies/` with a `DEF`, and a line in `ALL`. The
//! command line, its reports and the guide's table come from the list.
//!
//! A policy sees what its platform would see (measurements with their windows and delays) and says how many replicas
//! there are to be. Its formula is a function without the rest, and is tested with numbers worked out by hand.

mod cloud_run;
mod container_apps;
mod ecs;
mod fixed;
pub mod hpa;
mod keda;
mod knative;

use mainstay_core::plan::Pace;

use super::engine::replicas::Replicas;
use super::series::{Gauges, Second, Series};

/// A kind of policy.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// One with these settings.
    pub make: fn(&Setup) -> Box<dyn Policy>,
    /// What is worth knowing of it with these settings: a sentence each.
    pub notes: fn(&Setup) -> Vec<String>,
}

/// Every policy, in the order of the help.
pub static ALL: &[Def] = &[
    fixed::DEF,
    hpa::DEF,
    hpa::DEFAULTS,
    keda::DEF,
    knative::DEF,
    cloud_run::DEF,
    container_apps::DEF,
    ecs::DEF,
];

/// The policy of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.name == name)
}

/// What a policy is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas; one at least.
    pub replicas_max: u32,
    /// Requests in flight that a replica is meant for; a platform's own share of `concurrency` where it is not said.
    pub target: Option<f64>,
    /// Requests that a replica works on at once.
    pub concurrency: u32,
    /// From the decision to have a replica to its first request, in milliseconds.
    pub start_ms: u64,
    /// The age of a measurement when the policy sees it, in milliseconds, where a metrics server stands between.
    pub metric_lag_ms: u64,
    /// How long a request of the trace takes on average, without waiting, in milliseconds.
    pub takes_ms_mean: f64,
    /// Requests of the trace in flight on average, if none ever waited.
    pub load_mean: f64,
    /// How fast replicas are added, where a policy takes a pace.
    pub scale_up: Pace,
    /// How fast replicas are taken away.
    pub scale_down: Pace,
}

impl Setup {
    /// The target, or this share of what a replica works on at once.
    fn target_or(&self, share: f64) -> f64 {
        let target = self.target.unwrap_or(share * f64::from(self.concurrency));
        if target.is_finite() && target > 0.0 { target } else { 1.0 }
    }

    /// Bounds for a platform that needs a replica to measure anything.
    fn bounds_from_one(&self) -> Bounds {
        Bounds { min: self.replicas_min.max(1), max: self.replicas_max.max(1) }.ordered()
    }

    fn bounds(&self) -> Bounds {
        Bounds { min: self.replicas_min, max: self.replicas_max.max(1) }.ordered()
    }
}

/// Fewest and most replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) struct Bounds {
    min: u32,
    max: u32,
}

impl Bounds {
    fn ordered(self) -> Self {
        Self { min: self.min.min(self.max), ..self }
    }

    fn clamp(self, wanted: u32) -> u32 {
        wanted.clamp(self.min, self.max)
    }
}

/// Which of several replicas is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The one that came last, busy or not.
    Newest,
    /// The one with the least at work.
    Idlest,
}

/// What adds and removes replicas.
pub trait Policy {
    /// How often it decides, in milliseconds.
    fn period_ms(&self) -> u64;

    /// Replicas that are ready when the trace begins.
    fn initial(&self) -> u32;

    /// How many replicas there are to be.
    fn decide(&mut self, seen: &View<'_>) -> u32;

    /// The same at once, when a request has to wait; `None` leaves it to the next decision.
    fn on_wait(&mut self, _seen: &View<'_>) -> Option<u32> {
        None
    }

    /// How long a request may wait before it is refused, in milliseconds, if it is.
    fn patience_ms(&self) -> Option<u64> {
        None
    }

    /// Which replica is taken away.
    fn removal(&self) -> Removal {
        Removal::Newest
    }

    /// How long it may finish its requests, in milliseconds, where the platform has a bound of its own.
    fn grace_ms(&self) -> Option<u64> {
        None
    }
}

/// What there is to see at a moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Milliseconds from the trace's start.
    pub now_ms: u64,
    /// Replicas that are asked for: starting and ready.
    pub wanted: u32,
    /// Replicas that start.
    pub starting: u32,
    /// The gauges.
    pub gauges: Gauges,
    replicas: &'a Replicas,
    series: &'a Series,
}

impl<'a> View<'a> {
    pub(super) fn new(now_ms: u64, replicas: &'a Replicas, gauges: Gauges, series: &'a Series) -> Self {
        Self { now_ms, wanted: replicas.wanted(), starting: replicas.starting(), gauges, replicas, series }
    }

    /// Requests in flight, waiting ones included, as they were that long ago.
    fn load_before(&self, ago_ms: u64) -> Option<u32> {
        if ago_ms == 0 {
            return Some(self.gauges.load());
        }
        let at_ms = self.now_ms.checked_sub(ago_ms)?;
        self.series.at(at_ms).map(|second| second.end.load())
    }

    /// Ready replicas that were ready that long ago.
    fn ready_before(&self, ago_ms: u64) -> u32 {
        self.now_ms.checked_sub(ago_ms).map_or(0, |at_ms| self.replicas.ready_by(at_ms))
    }

    /// The mean over the last seconds of what `of` takes from one, in request-milliseconds.
    fn mean(&self, seconds: u64, of: fn(&Second) -> u64) -> f64 {
        let past = self.series.last(seconds);
        let sum: u64 = past.iter().map(of).sum();
        if past.is_empty() { 0.0 } else { sum as f64 / (past.len() as f64 * 1000.0) }
    }

    /// Requests in flight, waiting ones included, on average over the last seconds.
    fn load_mean(&self, seconds: u64) -> f64 {
        self.mean(seconds, |second| second.load_ms)
    }

    /// Requests that are worked on, on average over the last seconds.
    fn running_mean(&self, seconds: u64) -> f64 {
        self.mean(seconds, |second| second.running_ms)
    }

    /// Requests that came in the last seconds.
    fn arrivals(&self, seconds: u64) -> u64 {
        self.series.last(seconds).iter().map(|second| u64::from(second.arrivals)).sum()
    }
}

#[cfg(test)]
mod tests;
