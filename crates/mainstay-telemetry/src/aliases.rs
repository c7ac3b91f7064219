//! ★ Alias sets: metric names that other services' dashboards expect, fed from the same reports. To add one: a struct with
//! the names, a line in `register`, its name in `ALIAS_SETS`.
//!
//! Their histograms reach 300 s where the originals stop at 5 s or 30 s and lose the tail.

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::families::Bounded;
use crate::prometheus::{Count, Level, inc, observe, seconds, status_text};

/// The alias sets that a spec may name under `metrics.aliases`.
pub const ALIAS_SETS: &[&str] = &["vaia", "agent"];

/// A set of names.
pub(crate) trait Alias: Send + Sync {
    fn http(&self, report: &HttpReport<'_>);
    fn model(&self, report: &ModelReport<'_>);
    fn gauge(&self, gauge: Gauge, delta: i64);
}

/// Registers the sets named.
pub(crate) fn register(registry: &mut Registry, names: &[String]) -> Vec<Box<dyn Alias>> {
    let mut sets: Vec<Box<dyn Alias>> = Vec::new();
    for name in names {
        match name.as_str() {
            "vaia" => sets.push(Box::new(Vaia::register(registry.sub_registry_with_prefix("vaia")))),
            "agent" => sets.push(Box::new(AgentSet::register(registry.sub_registry_with_prefix("agent")))),
            _ => {}
        }
    }
    sets
}

/// `vaia_*`: requests, latency, requests at work, readiness.
struct Vaia {
    requests: Bounded<2, Count>,
    latency: Bounded<1, Histogram>,
    active: Level,
    ready: Level,
}

impl Vaia {
    fn register(r: &mut Registry) -> Self {
        let set = Self {
            requests: Bounded::register(r, "requests", "Requests", ["endpoint", "status"], Count::default),
            latency: Bounded::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
            active: Level::default(),
            ready: Level::default(),
        };
        r.register("active_requests", "Requests at work", set.active.clone());
        r.register("agent_ready", "1 when ready", set.ready.clone());
        set
    }
}

impl Alias for Vaia {
    fn http(&self, report: &HttpReport<'_>) {
        let mut buffer = [0; 3];
        self.requests.with([report.route, status_text(report.status, &mut buffer)], inc);
        self.latency.with([report.route], |h| observe(h, report.elapsed));
    }

    fn model(&self, _: &ModelReport<'_>) {}

    fn gauge(&self, gauge: Gauge, delta: i64) {
        let _ = match gauge {
            Gauge::HttpInFlight => self.active.inc_by(delta),
            Gauge::Ready => self.ready.inc_by(delta),
            _ => 0,
        };
    }
}

/// `agent_*`: requests, latency under both of its names, tokens and model calls.
struct AgentSet {
    requests: Bounded<3, Count>,
    latency: Bounded<1, Histogram>,
    duration: Bounded<1, Histogram>,
    tokens: Bounded<1, Count>,
    llm_requests: Bounded<2, Count>,
    llm_tokens: Bounded<2, Count>,
    llm_latency: Bounded<1, Histogram>,
    active: Level,
}

impl AgentSet {
    fn register(r: &mut Registry) -> Self {
        let set = Self {
            requests: Bounded::register(
                r,
                "requests",
                "Requests",
                ["method", "endpoint", "status"],
                Count::default,
            ),
            latency: Bounded::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
            duration: Bounded::register(r, "request_duration_seconds", "Latency", ["endpoint"], seconds),
            tokens: Bounded::register(r, "tokens", "Tokens", ["model"], Count::default),
            llm_requests: Bounded::register(
                r,
                "llm_requests",
                "Model calls",
                ["model", "status"],
                Count::default,
            ),
            llm_tokens: Bounded::register(
                r,
                "llm_tokens",
                "Tokens by type",
                ["model", "type"],
                Count::default,
            ),
            llm_latency: Bounded::register(r, "llm_latency_seconds", "Model calls", ["model"], seconds),
            active: Level::default(),
        };
        r.register("active_requests", "Requests at work", set.active.clone());
        set
    }
}

impl Alias for AgentSet {
    fn http(&self, report: &HttpReport<'_>) {
        let mut buffer = [0; 3];
        self.requests.with([report.method, report.route, status_text(report.status, &mut buffer)], inc);
        self.latency.with([report.route], |h| observe(h, report.elapsed));
        self.duration.with([report.route], |h| observe(h, report.elapsed));
    }

    fn model(&self, report: &ModelReport<'_>) {
        let status = if report.outcome == "ok" { "success" } else { "error" };
        self.llm_requests.with([report.model, status], inc);
        self.llm_latency.with([report.model], |h| observe(h, report.elapsed));
        let types = [("input", report.usage.input_total()), ("output", report.usage.output_total())];
        for (kind, tokens) in types {
            self.llm_tokens.with([report.model, kind], |c| c.inc_by(tokens));
        }
        self.tokens.with([report.model], |c| c.inc_by(report.usage.total()));
    }

    fn gauge(&self, gauge: Gauge, delta: i64) {
        if gauge == Gauge::HttpInFlight {
            self.active.inc_by(delta);
        }
    }
}
