//! The port: reports of engines and surfaces move metrics, a scrape shows them.

use std::collections::BTreeSet;

use mainstay_core::metric;
use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport, RunReport, Telemetry, ToolReport};
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::aliases::{self, Alias, HttpLabels, ModelLabels};
use crate::exposition;
use crate::families::Handles;
use crate::moved::{Count, HttpMoved, ModelMoved};
use crate::own::Own;
use crate::process::Process;

/// The metrics of this process.
pub struct Prometheus {
    registry: Registry,
    own: Own,
    aliases: Vec<Box<dyn Alias>>,
    http: Handles<3, HttpMoved>,
    model: Handles<3, ModelMoved>,
    run: Handles<2, (Count, Histogram, Count)>,
    tool: Handles<2, (Count, Histogram)>,
    shed: Handles<1, Count>,
    /// Those that are shown.
    dependencies: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prometheus")
    }
}

impl Prometheus {
    /// Metrics under our names and, besides, under those of the alias sets named (unknown names are ignored; config has
    /// checked them). It lives as long as the process: a reload does not begin anew.
    #[must_use]
    pub fn new(alias_sets: &[String]) -> Self {
        let mut registry = Registry::default();
        let aliases = aliases::register(&mut registry, alias_sets);
        registry.register_collector(Box::new(Process));
        let own = Own::register(registry.sub_registry_with_prefix(metric::PREFIX));
        Self {
            registry,
            own,
            aliases,
            http: Handles::default(),
            model: Handles::default(),
            run: Handles::default(),
            tool: Handles::default(),
            shed: Handles::default(),
            dependencies: Mutex::default(),
        }
    }

    fn http_moved(&self, [route, method, code]: [&str; 3]) -> HttpMoved {
        let (labels, mut moved) = (HttpLabels { route, method, code }, HttpMoved::default());
        self.own.http(labels, &mut moved);
        self.aliases.iter().for_each(|alias| alias.http(labels, &mut moved));
        moved
    }

    fn model_moved(&self, [model, provider, outcome]: [&str; 3]) -> ModelMoved {
        let (labels, mut moved) = (ModelLabels { model, provider, outcome }, ModelMoved::default());
        self.own.model(labels, &mut moved);
        self.aliases.iter().for_each(|alias| alias.model(labels, &mut moved));
        moved
    }
}

impl Telemetry for Prometheus {
    fn http(&self, report: HttpReport<'_>) {
        let mut buffer = [0; 3];
        let labels = [report.route, method_text(report.method), status_text(report.status, &mut buffer)];
        self.http.with(labels, |labels| self.http_moved(labels), |moved| moved.record(report.elapsed));
    }

    fn model(&self, report: ModelReport<'_>) {
        let record = |moved: &ModelMoved| moved.record(report.elapsed, report.first_byte, &report.usage);
        let labels = [report.model, report.provider, report.outcome];
        self.model.with(labels, |labels| self.model_moved(labels), record);
    }

    fn run(&self, report: RunReport<'_>) {
        let make = |[agent, status]: [&str; 2]| {
            (
                self.own.runs.of([agent, status]),
                self.own.run_seconds.of([agent]),
                self.own.run_steps.of([agent]),
            )
        };
        self.run.with([report.agent, report.status], make, |(runs, seconds, steps)| {
            runs.inc();
            seconds.observe(report.elapsed.as_secs_f64());
            steps.inc_by(u64::from(report.steps));
        });
    }

    fn tool(&self, report: ToolReport<'_>) {
        let make = |[tool, outcome]: [&str; 2]| {
            (self.own.tool_calls.of([tool, outcome]), self.own.tool_seconds.of([tool]))
        };
        self.tool.with([report.tool, report.outcome], make, |(calls, seconds)| {
            calls.inc();
            seconds.observe(report.elapsed.as_secs_f64());
        });
    }

    fn gauge(&self, gauge: Gauge, delta: i64) {
        let aliases = self.aliases.iter().filter_map(|alias| alias.gauge(gauge));
        std::iter::once(self.own.gauge(gauge)).chain(aliases).for_each(|level| _ = level.inc_by(delta));
    }

    fn shed(&self, reason: &'static str) {
        self.shed.with([reason], |reason| self.own.shed.of(reason), |count| _ = count.inc());
    }

    /// As many as the spec and its resources name.
    fn dependencies(&self, found: &[(&str, bool)]) {
        let mut shown = self.dependencies.lock();
        let now: BTreeSet<String> = found.iter().map(|(name, _)| (*name).to_owned()).collect();
        shown.difference(&now).for_each(|gone| self.own.dependencies.forget([gone]));
        for (name, ready) in found {
            self.own.dependencies.of([name]).set(i64::from(*ready));
        }
        *shown = now;
    }

    fn scrape(&self) -> (&'static str, String) {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string does not fail");
        (exposition::CONTENT_TYPE, exposition::classic(&text))
    }
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
