//! Our metrics by name.

use mainstay_core::model::Usage;
use mainstay_core::telemetry::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::aliases::{HttpLabels, ModelLabels};
use crate::families::Labelled;
use crate::moved::{Count, HttpMoved, Level, ModelMoved, TokensOf, seconds};

/// The families under our prefix.
pub(crate) struct Own {
    requests: Labelled<3, Count>,
    request_seconds: Labelled<1, Histogram>,
    model_calls: Labelled<3, Count>,
    model_seconds: Labelled<2, Histogram>,
    ttft_seconds: Labelled<2, Histogram>,
    tokens: Labelled<3, Count>,
    pub(crate) runs: Labelled<2, Count>,
    pub(crate) run_seconds: Labelled<1, Histogram>,
    pub(crate) run_steps: Labelled<1, Count>,
    pub(crate) tool_calls: Labelled<2, Count>,
    pub(crate) tool_seconds: Labelled<1, Histogram>,
    pub(crate) shed: Labelled<1, Count>,
    gauges: Gauges,
}

/// Classes of tokens, as the `type` label names them.
const CLASSES: [(&str, TokensOf); 5] = [
    ("input", |usage| usage.input_uncached),
    ("cache_read", |usage| usage.cache_read),
    ("cache_write", Usage::cache_write_total),
    ("output", |usage| usage.output),
    ("reasoning", |usage| usage.reasoning),
];

impl Own {
    pub(crate) fn register(r: &mut Registry) -> Self {
        let build: Labelled<1, Level> =
            Labelled::register(r, "build_info", "1, labelled with the build", ["version"], Level::default);
        build.of([env!("CARGO_PKG_VERSION")]).set(1);
        let call = ["model", "provider"];
        Self {
            requests: count(r, "requests", "Requests answered", ["route", "method", "code"]),
            request_seconds: timed(
                r,
                "request_duration_seconds",
                "First byte in to last byte out",
                ["route"],
            ),
            model_calls: count(r, "model_calls", "Model calls ended", ["model", "provider", "outcome"]),
            model_seconds: timed(r, "model_duration_seconds", "Model calls, whole", call),
            ttft_seconds: timed(r, "ttft_seconds", "Until the provider's first byte", call),
            tokens: count(r, "tokens", "Tokens by class", ["model", "provider", "type"]),
            runs: count(r, "runs", "Runs ended", ["agent", "status"]),
            run_seconds: timed(r, "run_duration_seconds", "Creation to end", ["agent"]),
            run_steps: count(r, "run_steps", "Model calls made by runs", ["agent"]),
            tool_calls: count(r, "tool_calls", "Tool calls ended", ["tool", "outcome"]),
            tool_seconds: timed(r, "tool_duration_seconds", "Tool calls", ["tool"]),
            shed: count(r, "shed", "Requests refused before work", ["reason"]),
            gauges: Gauges::register(r),
        }
    }

    pub(crate) fn http(&self, labels: HttpLabels<'_>, moved: &mut HttpMoved) {
        moved.counts.push(self.requests.of([labels.route, labels.method, labels.code]));
        moved.elapsed.push(self.request_seconds.of([labels.route]));
    }

    pub(crate) fn model(&self, labels: ModelLabels<'_>, moved: &mut ModelMoved) {
        let (model, provider) = (labels.model, labels.provider);
        moved.counts.push(self.model_calls.of([model, provider, labels.outcome]));
        moved.elapsed.push(self.model_seconds.of([model, provider]));
        moved.first_byte.push(self.ttft_seconds.of([model, provider]));
        let classes = CLASSES.iter().map(|(class, read)| (*read, self.tokens.of([model, provider, class])));
        moved.tokens.extend(classes);
    }

    pub(crate) fn gauge(&self, gauge: Gauge) -> &Level {
        match gauge {
            Gauge::HttpInFlight => &self.gauges.http_in_flight,
            Gauge::RunsActive => &self.gauges.runs_active,
            Gauge::RunsQueued => &self.gauges.runs_queued,
            Gauge::Ready => &self.gauges.ready,
            Gauge::StreamsOpen => &self.gauges.streams_open,
        }
    }
}

struct Gauges {
    http_in_flight: Level,
    runs_active: Level,
    runs_queued: Level,
    ready: Level,
    streams_open: Level,
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let mut level = |name: &str, help: &str| {
            let level = Level::default();
            registry.register(name, help, level.clone());
            level
        };
        Self {
            http_in_flight: level("requests_in_flight", "Requests in flight"),
            runs_active: level("runs_active", "Runs at work"),
            runs_queued: level("runs_queued", "Runs waiting for their session"),
            ready: level("ready", "1 when ready, else 0"),
            streams_open: level("streams_open", "Event streams open"),
        }
    }
}

fn count<const N: usize>(
    r: &mut Registry,
    name: &str,
    help: &str,
    names: [&'static str; N],
) -> Labelled<N, Count> {
    Labelled::register(r, name, help, names, Count::default)
}

fn timed<const N: usize>(
    r: &mut Registry,
    name: &str,
    help: &str,
    names: [&'static str; N],
) -> Labelled<N, Histogram> {
    Labelled::register(r, name, help, names, seconds)
}
