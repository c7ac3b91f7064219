//! Telemetry that remembers what it was told, for tests of whoever reports.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_core::model::Usage;
use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport, RunReport, Telemetry, ToolReport};

/// What was reported, in the order in which it was.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    http: Vec<Answered>,
    models: Vec<Asked>,
    runs: Vec<String>,
    tools: Vec<String>,
    gauges: HashMap<Gauge, (i64, i64)>,
    shed: Vec<&'static str>,
    dependencies: Vec<(String, bool)>,
}

/// A request that was answered: method, route and status.
pub type Answered = (String, String, u16);

/// A model call that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The provider.
    pub provider: String,
    /// `ok`, or what it came to.
    pub outcome: String,
    /// Its tokens.
    pub usage: Usage,
}

impl Seen {
    /// The requests that were answered.
    #[must_use]
    pub fn http(&self) -> Vec<Answered> {
        self.told().http.clone()
    }

    /// The model calls that ended.
    #[must_use]
    pub fn models(&self) -> Vec<Asked> {
        self.told().models.clone()
    }

    /// What each model call came to.
    #[must_use]
    pub fn outcomes(&self) -> Vec<String> {
        self.told().models.iter().map(|asked| asked.outcome.clone()).collect()
    }

    /// `<agent> <status> <steps>` of every run.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        self.told().runs.clone()
    }

    /// `<tool> <outcome>` of every tool call.
    #[must_use]
    pub fn tools(&self) -> Vec<String> {
        self.told().tools.clone()
    }

    /// The gauge now, and the highest it ever was.
    #[must_use]
    pub fn gauge_of(&self, gauge: Gauge) -> (i64, i64) {
        self.told().gauges.get(&gauge).copied().unwrap_or_default()
    }

    /// Why requests were refused before work.
    #[must_use]
    pub fn refusals(&self) -> Vec<&'static str> {
        self.told().shed.clone()
    }

    /// What readiness rested on when it was told last.
    #[must_use]
    pub fn rested_on(&self) -> Vec<(String, bool)> {
        self.told().dependencies.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry for Seen {
    fn http(&self, report: HttpReport<'_>) {
        self.told().http.push((report.method.to_owned(), report.route.to_owned(), report.status));
    }

    fn model(&self, report: ModelReport<'_>) {
        let (provider, outcome) = (report.provider.to_owned(), report.outcome.to_owned());
        self.told().models.push(Asked { provider, outcome, usage: report.usage });
    }

    fn run(&self, report: RunReport<'_>) {
        self.told().runs.push(format!("{} {} {}", report.agent, report.status, report.steps));
    }

    fn tool(&self, report: ToolReport<'_>) {
        self.told().tools.push(format!("{} {}", report.tool, report.outcome));
    }

    fn gauge(&self, gauge: Gauge, delta: i64) {
        let mut told = self.told();
        let (now, highest) = told.gauges.entry(gauge).or_default();
        *now += delta;
        *highest = (*highest).max(*now);
    }

    fn shed(&self, reason: &'static str) {
        self.told().shed.push(reason);
    }

    fn dependencies(&self, found: &[(&str, bool)]) {
        self.told().dependencies = found.iter().map(|(name, ready)| ((*name).to_owned(), *ready)).collect();
    }

    fn scrape(&self) -> (&'static str, String) {
        ("text/plain; version=0.0.4", "up 1\n".to_owned())
    }
}
