//! `agent_*`: requests, their latency under both of its names, tokens, model calls, requests at work.

use mainstay_core::model::Usage;
use mainstay_core::telemetry::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Alias, HttpLabels, ModelLabels, Set};
use crate::families::Labelled;
use crate::moved::{Count, HttpMoved, Level, ModelMoved, TokensOf, seconds};

/// The list's line.
pub(crate) const SET: Set = Set { name: "agent", register };

struct Agent {
    requests: Labelled<3, Count>,
    latency: Labelled<1, Histogram>,
    duration: Labelled<1, Histogram>,
    tokens: Labelled<1, Count>,
    llm_requests: Labelled<2, Count>,
    llm_tokens: Labelled<2, Count>,
    llm_latency: Labelled<1, Histogram>,
    active: Level,
}

fn register(r: &mut Registry) -> Box<dyn Alias> {
    let count: fn() -> Count = Count::default;
    let set = Agent {
        requests: Labelled::register(r, "requests", "Requests", ["method", "endpoint", "status"], count),
        latency: Labelled::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
        duration: Labelled::register(r, "request_duration_seconds", "Latency", ["endpoint"], seconds),
        tokens: Labelled::register(r, "tokens", "Tokens", ["model"], count),
        llm_requests: Labelled::register(r, "llm_requests", "Model calls", ["model", "status"], count),
        llm_tokens: Labelled::register(r, "llm_tokens", "Tokens by type", ["model", "type"], count),
        llm_latency: Labelled::register(r, "llm_latency_seconds", "Model calls", ["model"], seconds),
        active: Level::default(),
    };
    r.register("active_requests", "Requests at work", set.active.clone());
    Box::new(set)
}

impl Alias for Agent {
    fn http(&self, labels: HttpLabels<'_>, moved: &mut HttpMoved) {
        moved.counts.push(self.requests.of([labels.method, labels.route, labels.code]));
        moved.elapsed.extend([self.latency.of([labels.route]), self.duration.of([labels.route])]);
    }

    fn model(&self, labels: ModelLabels<'_>, moved: &mut ModelMoved) {
        let model = labels.model;
        let status = if labels.outcome == "ok" { "success" } else { "error" };
        moved.counts.push(self.llm_requests.of([model, status]));
        moved.elapsed.push(self.llm_latency.of([model]));
        moved.tokens.extend([
            (Usage::input_total as TokensOf, self.llm_tokens.of([model, "input"])),
            (Usage::output_total, self.llm_tokens.of([model, "output"])),
            (Usage::total, self.tokens.of([model])),
        ]);
    }

    fn gauge(&self, gauge: Gauge) -> Option<&Level> {
        (gauge == Gauge::HttpInFlight).then_some(&self.active)
    }
}
