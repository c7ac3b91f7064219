//! `vaia_*`: requests, their latency, requests at work, readiness.

use mainstay_core::telemetry::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Alias, HttpLabels, ModelLabels, Set};
use crate::families::Labelled;
use crate::moved::{Count, HttpMoved, Level, ModelMoved, seconds};

/// The list's line.
pub(crate) const SET: Set = Set { name: "vaia", register };

struct Vaia {
    requests: Labelled<2, Count>,
    latency: Labelled<1, Histogram>,
    active: Level,
    ready: Level,
}

fn register(r: &mut Registry) -> Box<dyn Alias> {
    let set = Vaia {
        requests: Labelled::register(r, "requests", "Requests", ["endpoint", "status"], Count::default),
        latency: Labelled::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
        active: Level::default(),
        ready: Level::default(),
    };
    r.register("active_requests", "Requests at work", set.active.clone());
    r.register("agent_ready", "1 when ready", set.ready.clone());
    Box::new(set)
}

impl Alias for Vaia {
    fn http(&self, labels: HttpLabels<'_>, moved: &mut HttpMoved) {
        moved.counts.push(self.requests.of([labels.route, labels.code]));
        moved.elapsed.push(self.latency.of([labels.route]));
    }

    fn model(&self, _: ModelLabels<'_>, _: &mut ModelMoved) {}

    fn gauge(&self, gauge: Gauge) -> Option<&Level> {
        match gauge {
            Gauge::HttpInFlight => Some(&self.active),
            Gauge::Ready => Some(&self.ready),
            Gauge::RunsActive | Gauge::RunsQueued | Gauge::StreamsOpen => None,
        }
    }
}
