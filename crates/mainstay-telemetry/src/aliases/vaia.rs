//! `vaia_*`: requests, their latency, requests at work, readiness.

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Alias, Set};
use crate::families::Bounded;
use crate::prometheus::{Count, Level, inc, observe, seconds, status_text};

/// The list's line.
pub(crate) const SET: Set = Set { name: "vaia", register };

struct Vaia {
    requests: Bounded<2, Count>,
    latency: Bounded<1, Histogram>,
    active: Level,
    ready: Level,
}

fn register(r: &mut Registry) -> Box<dyn Alias> {
    let set = Vaia {
        requests: Bounded::register(r, "requests", "Requests", ["endpoint", "status"], Count::default),
        latency: Bounded::register(r, "request_latency_seconds", "Latency", ["endpoint"], seconds),
        active: Level::default(),
        ready: Level::default(),
    };
    r.register("active_requests", "Requests at work", set.active.clone());
    r.register("agent_ready", "1 when ready", set.ready.clone());
    Box::new(set)
}

impl Alias for Vaia {
    fn http(&self, report: &HttpReport<'_>) {
        let mut buffer = [0; 3];
        self.requests.with([report.route, status_text(report.status, &mut buffer)], inc);
        self.latency.with([report.route], |h| observe(h, report.elapsed));
    }

    fn model(&self, _: &ModelReport<'_>) {}

    fn gauge(&self, gauge: Gauge, delta: i64) {
        match gauge {
            Gauge::HttpInFlight => drop(self.active.inc_by(delta)),
            Gauge::Ready => drop(self.ready.inc_by(delta)),
            Gauge::RunsActive | Gauge::RunsQueued | Gauge::StreamsOpen => {}
        }
    }
}
