//! Our metrics, fed by the reports of engines and surfaces.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport, RunReport, Telemetry, ToolReport};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::aliases::{self, Alias};
use crate::exposition;
use crate::families::Bounded;
use crate::process::Process;

/// Whole numbers that only grow.
pub(crate) type Count = Counter<u64, AtomicU64>;
/// Numbers that go up and down.
pub(crate) type Level = gauge::Gauge<i64, AtomicI64>;

/// Upper bounds, in seconds, of histograms of model calls, runs and requests: a slow model takes minutes.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A histogram of seconds up to five minutes.
pub(crate) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// The metrics of this process.
pub struct Prometheus {
    registry: Registry,
    requests: Bounded<3, Count>,
    request_seconds: Bounded<1, Histogram>,
    model_calls: Bounded<3, Count>,
    model_seconds: Bounded<2, Histogram>,
    ttft_seconds: Bounded<2, Histogram>,
    tokens: Bounded<3, Count>,
    runs: Bounded<2, Count>,
    run_seconds: Bounded<1, Histogram>,
    run_steps: Bounded<1, Count>,
    tool_calls: Bounded<2, Count>,
    tool_seconds: Bounded<1, Histogram>,
    shed: Bounded<1, Count>,
    gauges: Gauges,
    aliases: Vec<Box<dyn Alias>>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prometheus")
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

    fn of(&self, gauge: Gauge) -> &Level {
        match gauge {
            Gauge::HttpInFlight => &self.http_in_flight,
            Gauge::RunsActive => &self.runs_active,
            Gauge::RunsQueued => &self.runs_queued,
            Gauge::Ready => &self.ready,
            Gauge::StreamsOpen => &self.streams_open,
        }
    }
}

impl Prometheus {
    /// Metrics under our names and, besides, under those of the alias sets named (unknown names are ignored; config has
    /// checked them). It lives as long as the process: what changes at a reload is not counted anew.
    #[must_use]
    pub fn new(alias_sets: &[String]) -> Self {
        let mut root = Registry::default();
        let aliases = aliases::register(&mut root, alias_sets);
        root.register_collector(Box::new(Process));
        let r = root.sub_registry_with_prefix("mainstay");
        let build: Bounded<1, Level> =
            Bounded::register(r, "build_info", "1, labelled with the build", ["version"], Level::default);
        build.with([env!("CARGO_PKG_VERSION")], |one| one.set(1));
        let count: fn() -> Count = Count::default;
        Self {
            requests: Bounded::register(
                r,
                "requests",
                "Requests answered",
                ["route", "method", "code"],
                count,
            ),
            request_seconds: Bounded::register(
                r,
                "request_duration_seconds",
                "First byte in to last byte out",
                ["route"],
                seconds,
            ),
            model_calls: Bounded::register(
                r,
                "model_calls",
                "Model calls ended",
                ["model", "provider", "outcome"],
                count,
            ),
            model_seconds: Bounded::register(
                r,
                "model_duration_seconds",
                "Model calls, whole",
                ["model", "provider"],
                seconds,
            ),
            ttft_seconds: Bounded::register(
                r,
                "ttft_seconds",
                "Until the provider's first byte",
                ["model", "provider"],
                seconds,
            ),
            tokens: Bounded::register(r, "tokens", "Tokens by class", ["model", "provider", "type"], count),
            runs: Bounded::register(r, "runs", "Runs ended", ["agent", "status"], count),
            run_seconds: Bounded::register(r, "run_duration_seconds", "Creation to end", ["agent"], seconds),
            run_steps: Bounded::register(r, "run_steps", "Model calls made by runs", ["agent"], count),
            tool_calls: Bounded::register(r, "tool_calls", "Tool calls ended", ["tool", "outcome"], count),
            tool_seconds: Bounded::register(r, "tool_duration_seconds", "Tool calls", ["tool"], seconds),
            shed: Bounded::register(r, "shed", "Requests refused before work", ["reason"], count),
            gauges: Gauges::register(r),
            registry: root,
            aliases,
        }
    }
}

impl Telemetry for Prometheus {
    fn http(&self, report: HttpReport<'_>) {
        let mut buffer = [0; 3];
        let status = status_text(report.status, &mut buffer);
        self.requests.with([report.route, method_text(report.method), status], inc);
        self.request_seconds.with([report.route], |h| observe(h, report.elapsed));
        self.aliases.iter().for_each(|alias| alias.http(&report));
    }

    fn model(&self, report: ModelReport<'_>) {
        let (model, provider, usage) = (report.model, report.provider, report.usage);
        self.model_calls.with([model, provider, report.outcome], inc);
        self.model_seconds.with([model, provider], |h| observe(h, report.elapsed));
        if let Some(first) = report.first_byte {
            self.ttft_seconds.with([model, provider], |h| observe(h, first));
        }
        let classes = [
            ("input", usage.input_uncached),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write_5m + usage.cache_write_1h),
            ("output", usage.output),
            ("reasoning", usage.reasoning),
        ];
        for (class, tokens) in classes.into_iter().filter(|(_, tokens)| *tokens > 0) {
            self.tokens.with([model, provider, class], |c| c.inc_by(tokens));
        }
        self.aliases.iter().for_each(|alias| alias.model(&report));
    }

    fn run(&self, report: RunReport<'_>) {
        self.runs.with([report.agent, report.status], inc);
        self.run_seconds.with([report.agent], |h| observe(h, report.elapsed));
        self.run_steps.with([report.agent], |c| c.inc_by(u64::from(report.steps)));
    }

    fn tool(&self, report: ToolReport<'_>) {
        self.tool_calls.with([report.tool, report.outcome], inc);
        self.tool_seconds.with([report.tool], |h| observe(h, report.elapsed));
    }

    fn gauge(&self, gauge: Gauge, delta: i64) {
        self.gauges.of(gauge).inc_by(delta);
        self.aliases.iter().for_each(|alias| alias.gauge(gauge, delta));
    }

    fn shed(&self, reason: &'static str) {
        self.shed.with([reason], inc);
    }

    fn scrape(&self) -> (&'static str, String) {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string does not fail");
        (exposition::CONTENT_TYPE, exposition::classic(&text))
    }
}

pub(crate) fn inc(counter: &Count) {
    counter.inc();
}

pub(crate) fn observe(histogram: &Histogram, elapsed: Duration) {
    histogram.observe(elapsed.as_secs_f64());
}

/// A method of the registry of RFC 9110, or `other`: a caller may send any word, and none of its making is a label.
pub(crate) fn method_text(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// A status as three digits, without allocating.
pub(crate) fn status_text(status: u16, buffer: &mut [u8; 3]) -> &str {
    for (place, digit) in buffer.iter_mut().zip([status / 100, status / 10, status]) {
        *place = b'0' + u8::try_from(digit % 10).expect("a digit");
    }
    std::str::from_utf8(buffer).expect("digits are ASCII")
}

#[cfg(test)]
mod tests;
