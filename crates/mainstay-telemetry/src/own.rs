//! Our metrics by name.

use mainstay_core::metric::{self, Metric};
use mainstay_core::model::Usage;
use mainstay_core::telemetry::Gauge;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
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
    pub(crate) dependencies: Labelled<1, Level>,
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
        let build: Labelled<1, Level> = labelled(r, &metric::BUILD, Level::default);
        build.of([env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            requests: count(r, &metric::REQUESTS),
            request_seconds: timed(r, &metric::REQUEST_SECONDS),
            model_calls: count(r, &metric::MODEL_CALLS),
            model_seconds: timed(r, &metric::MODEL_SECONDS),
            ttft_seconds: timed(r, &metric::FIRST_BYTE_SECONDS),
            tokens: count(r, &metric::TOKENS),
            runs: count(r, &metric::RUNS),
            run_seconds: timed(r, &metric::RUN_SECONDS),
            run_steps: count(r, &metric::RUN_STEPS),
            tool_calls: count(r, &metric::TOOL_CALLS),
            tool_seconds: timed(r, &metric::TOOL_SECONDS),
            shed: count(r, &metric::SHED),
            dependencies: labelled(r, &metric::DEPENDENCY_READY, Level::default),
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
        let mut level = |metric: &Metric| {
            let level = Level::default();
            registry.register(metric.stem(), metric.about, level.clone());
            level
        };
        Self {
            http_in_flight: level(&metric::IN_FLIGHT),
            runs_active: level(&metric::RUNS_ACTIVE),
            runs_queued: level(&metric::RUNS_QUEUED),
            ready: level(&metric::READY),
            streams_open: level(&metric::STREAMS_OPEN),
        }
    }
}

fn count<const N: usize>(r: &mut Registry, metric: &Metric) -> Labelled<N, Count> {
    labelled(r, metric, Count::default)
}

fn timed<const N: usize>(r: &mut Registry, metric: &Metric) -> Labelled<N, Histogram> {
    labelled(r, metric, seconds)
}

fn labelled<const N: usize, M>(r: &mut Registry, metric: &Metric, make: fn() -> M) -> Labelled<N, M>
where
    M: Clone + std::fmt::Debug + EncodeMetric + TypedMetric + Send + Sync,
{
    let names = metric.labels.try_into().expect("a value is given for each label");
    Labelled::register(r, metric.stem(), metric.about, names, make)
}
