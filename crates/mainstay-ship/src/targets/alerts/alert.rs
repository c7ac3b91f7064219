//! An alert, and the trial in which it must fire and the one in which it must not.

use mainstay_core::metric::Metric;
use serde_json::{Value, json};

use crate::promql::quoted;
use crate::targets::kubernetes::namespace_name;
use crate::value::texts;
use crate::workload::Workload;

/// The page that says of each alert what it means and what to do.
const RUNBOOK: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/guide/runbook.md");

/// An alert.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    /// Its name, and the heading in the runbook.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// The query that gives something while it is to fire.
    pub(super) query: String,
    /// How long it must do so first, in minutes.
    pub(super) minutes: u32,
    /// What is the matter, in a line; with `{{ $labels.x }}` for labels of the query's answer.
    pub(super) summary: &'static str,
    /// What it means for those who call.
    pub(super) description: String,
    pub(super) trial: Trial,
}

/// Who is to know, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Somebody, now: callers are being failed.
    Critical,
    /// Whoever works on it next.
    Warning,
}

/// Series that make an alert fire, and others that leave it silent.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// When they are looked at, in minutes from the beginning.
    pub(super) after: u32,
    /// Minutes between two samples.
    pub(super) every: u32,
    /// Whether the query's answer bears the job and the namespace.
    pub(super) of_service: bool,
    /// Its labels in the first case, besides those.
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) fires: Vec<Series>,
    pub(super) silent: Vec<Series>,
}

/// A series: its name, its labels besides job and namespace, and its samples as promtool writes them.
#[derive(Clone, Debug)]
pub(super) struct Series {
    name: String,
    labels: Vec<(&'static str, String)>,
    samples: String,
}

/// A series of a metric.
pub(super) fn series(metric: &Metric, values: &[&str], samples: impl Into<String>) -> Series {
    let labels = metric.labels.iter().copied().zip(values.iter().map(|value| (*value).to_owned())).collect();
    Series { name: metric.name.to_owned(), labels, samples: samples.into() }
}

/// A series of the bucket of durations up to `bound`.
pub(super) fn bucket(metric: &Metric, values: &[&str], bound: &'static str, samples: &str) -> Series {
    let mut series = series(metric, values, samples);
    series.name.push_str("_bucket");
    series.labels.push(("le", bound.to_owned()));
    series
}

/// A series that Prometheus itself makes.
pub(super) fn made(name: &str, samples: &str) -> Series {
    Series { name: name.to_owned(), labels: Vec::new(), samples: samples.to_owned() }
}

impl Series {
    /// The same of one replica.
    pub(super) fn of_replica(mut self, instance: &str) -> Self {
        self.labels.push(("instance", instance.to_owned()));
        self
    }

    fn value(&self, workload: &Workload) -> Value {
        let own = [("job", workload.name.clone()), ("namespace", namespace_name(workload))];
        let labels = own.iter().chain(&self.labels).map(|(name, value)| format!("{name}={}", quoted(value)));
        let labels: Vec<String> = labels.collect();
        json!({ "series": format!("{}{{{}}}", self.name, labels.join(",")), "values": self.samples })
    }
}

impl Severity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl Alert {
    /// The rule.
    pub(super) fn rule(&self, workload: &Workload) -> Value {
        json!({
            "alert": self.name,
            "expr": self.query,
            "for": format!("{}m", self.minutes),
            "labels": self.labels(workload),
            "annotations": self.annotations(),
        })
    }

    /// What every one of it is labelled with.
    fn labels(&self, workload: &Workload) -> Value {
        texts([
            ("severity", self.severity.name()),
            ("service", workload.name.as_str()),
            ("environment", workload.environment.name()),
        ])
    }

    /// Where the runbook says what to do.
    pub(super) fn runbook(&self) -> String {
        format!("{RUNBOOK}#{}", self.name.to_lowercase())
    }

    /// The summary without a label's value.
    pub(super) fn plainly(&self) -> String {
        self.summary.replace("{{ $labels.", "*").replace(" }}", "*")
    }

    fn annotations(&self) -> Value {
        texts([
            ("summary", self.summary.to_owned()),
            ("description", self.description.clone()),
            ("runbook_url", self.runbook()),
        ])
    }

    /// The trials, as promtool takes them.
    pub(super) fn trials(&self, workload: &Workload) -> [Value; 2] {
        let mut labels = self.labels(workload);
        if self.trial.of_service {
            labels["job"] = workload.name.as_str().into();
            labels["namespace"] = namespace_name(workload).into();
        }
        for (name, value) in &self.trial.labels {
            labels[*name] = value.as_str().into();
        }
        let mut annotations = self.annotations();
        for text in annotations.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
            *text = self.told(text.as_str().unwrap_or_default()).into();
        }
        let firing = json!([{ "exp_labels": labels, "exp_annotations": annotations }]);
        [
            self.case("fires", &self.trial.fires, firing, workload),
            self.case("stays silent", &self.trial.silent, json!([]), workload),
        ]
    }

    fn case(&self, what: &str, given: &[Series], expect: Value, workload: &Workload) -> Value {
        let given: Vec<Value> = given.iter().map(|series| series.value(workload)).collect();
        json!({
            "name": format!("{} {what}", self.name),
            "interval": format!("{}m", self.trial.every),
            "input_series": given,
            "alert_rule_test": [{
                "eval_time": format!("{}m", self.trial.after),
                "alertname": self.name,
                "exp_alerts": expect,
            }],
        })
    }

    /// A text with the labels of the trial in it.
    fn told(&self, text: &str) -> String {
        let said = |text: String, (name, value): &(&str, String)| {
            text.replace(&format!("{{{{ $labels.{name} }}}}"), value)
        };
        self.trial.labels.iter().fold(text.to_owned(), said)
    }
}
