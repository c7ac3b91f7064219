//! Telemetry that remembers.

use std::collections::HashMap;

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport, RunReport, Telemetry, ToolReport};
use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Seen {
    gauges: Mutex<HashMap<Gauge, (i64, i64)>>,
    /// `<agent> <status> <steps>` of every run.
    pub(crate) runs: Mutex<Vec<String>>,
    /// `<tool> <outcome>` of every tool call.
    pub(crate) tools: Mutex<Vec<String>>,
}

impl Seen {
    /// The gauge now, and the highest it ever was.
    pub(crate) fn gauge(&self, gauge: Gauge) -> (i64, i64) {
        self.gauges.lock().get(&gauge).copied().unwrap_or_default()
    }
}

impl Telemetry for Seen {
    fn http(&self, _: HttpReport<'_>) {}
    fn model(&self, _: ModelReport<'_>) {}
    fn run(&self, report: RunReport<'_>) {
        self.runs.lock().push(format!("{} {} {}", report.agent, report.status, report.steps));
    }
    fn tool(&self, report: ToolReport<'_>) {
        self.tools.lock().push(format!("{} {}", report.tool, report.outcome));
    }
    fn gauge(&self, gauge: Gauge, delta: i64) {
        let mut gauges = self.gauges.lock();
        let (now, highest) = gauges.entry(gauge).or_default();
        *now += delta;
        *highest = (*highest).max(*now);
    }
    fn shed(&self, _: &'static str) {}
    fn dependencies(&self, _: &[(&str, bool)]) {}
    fn scrape(&self) -> (&'static str, String) {
        ("text/plain", String::new())
    }
}
