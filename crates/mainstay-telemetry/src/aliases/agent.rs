//! `agent_*`: requests, their latency under both of its names, tokens, model calls, requests at work.

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Alias, Set};
use crate::families::Bounded;
use crate::prometheus::{Count, Level, inc, method_text, observe, seconds, status_text};

/// The list's line.
pub(crate) const SET: Set = Set { name: "agent", register };

struct Agent {
    requests: Bounded<3, Count>,
    latency: Bounded<1, Histogram>,
    duration: Bounded<1, Histogram>,
    tokens: Bounded<1, Count>,
    llm_requests: Bounded<2, Count>,
    llm_tokens: Bounded<2, Count>,
    llm_latency: Bounded<1, Histogram>,
    active: Level,
}

fn register(r: &mut Registry) -> Box<dyn Alias> {
    let count: fn() -> Count = Count::default;
    let set = Agent {
        requests: Bounded::register(r, "requests", "Requests", ["method", "endpoint", "status"], count),
        latency: Bounded::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
        duration: Bounded::register(r, "request_duration_seconds", "Latency", ["endpoint"], seconds),
        tokens: Bounded::register(r, "tokens", "Tokens", ["model"], count),
        llm_requests: Bounded::register(r, "llm_requests", "Model calls", ["model", "status"], count),
        llm_tokens: Bounded::register(r, "llm_tokens", "Tokens by type", ["model", "type"], count),
        llm_latency: Bounded::register(r, "llm_latency_seconds", "Model calls", ["model"], seconds),
        active: Level::default(),
    };
    r.register("active_requests", "Requests at work", set.active.clone());
    Box::new(set)
}

impl Alias for Agent {
    fn http(&self, report: &HttpReport<'_>) {
        let mut buffer = [0; 3];
        let status = status_text(report.status, &mut buffer);
        self.requests.with([method_text(report.method), report.route, status], inc);
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
