//! Alerts: rules for Prometheus as a plain file and as an object for its operator, and trials of each for promtool.
//!
//! To add an alert: a line in `service.rs`, `work.rs` or `budget.rs`, with the series that make it fire and those that
//! do not, and its heading in `docs/guide/runbook.md`.

mod alert;
pub(super) mod budget;
mod service;
pub(super) mod work;

use serde_json::{Value, json};

use mainstay_core::Result;

use self::alert::Alert;
use super::kubernetes::{self, metadata, selector};
use super::{Rendered, Target};
use crate::promql::Scope;
use crate::value::dense;
use crate::workload::Workload;
use crate::{File, Header, Shipment};

pub(super) const TARGET: Target = Target {
    name: "alerts",
    about: "Prometheus: alerts with their tests, as files and for its operator",
    needs: &[],
    render,
};

/// The file of the rules.
pub(super) const RULES: &str = "rules.yaml";
/// The file of their trials.
const TRIALS: &str = "rules_test.yaml";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let (header, workload) = (shipment.project.header(), shipment.workload);
    let file = |path: &str, value: Value| File::yaml(path, &header, dense(value));
    let files = vec![
        rules(&header, workload),
        file(TRIALS, trials(workload)),
        file("prometheus-rule.yaml", object(workload)),
        file("pod-monitor.yaml", monitor(workload)),
        File::new("README.md", header.lines("<!--") + "\n" + &readme(workload)),
    ];
    Ok(Rendered { files, notes: notes(workload) })
}

/// The file of the rules.
pub(super) fn rules(header: &Header<'_>, workload: &Workload) -> File {
    File::yaml(RULES, header, json!({ "groups": groups(workload) }))
}

/// Every alert of a service, in the order of the groups.
fn alerts(workload: &Workload) -> [(&'static str, Vec<Alert>); 3] {
    let scope = Scope::of(workload);
    [
        ("budget", budget::alerts(&scope, workload)),
        ("service", service::alerts(&scope, workload)),
        ("work", work::alerts(&scope, workload)),
    ]
}

/// What is computed once and asked for often.
fn recorded(workload: &Workload) -> Vec<(&'static str, String)> {
    let scope = Scope::of(workload);
    let failed = budget::RECORDED.iter().map(|(window, name)| (*name, budget::failed(&scope, window)));
    failed.chain([(work::TOKENS_RECORDED, work::token_rate(&scope))]).collect()
}

fn groups(workload: &Workload) -> Value {
    let name = |group: &str| format!("{}-{}-{group}", workload.name, workload.environment);
    let recorded: Vec<Value> =
        recorded(workload).iter().map(|(name, query)| json!({ "record": name, "expr": query })).collect();
    let mut groups = vec![json!({ "name": name("recorded"), "rules": recorded })];
    for (group, alerts) in alerts(workload) {
        let rules: Vec<Value> = alerts.iter().map(|alert| alert.rule(workload)).collect();
        if !rules.is_empty() {
            groups.push(json!({ "name": name(group), "rules": rules }));
        }
    }
    Value::Array(groups)
}

fn trials(workload: &Workload) -> Value {
    let all = alerts(workload);
    let tests: Vec<Value> =
        all.iter().flat_map(|(_, alerts)| alerts).flat_map(|alert| alert.trials(workload)).collect();
    json!({ "rule_files": [RULES], "evaluation_interval": "1m", "tests": tests })
}

fn object(workload: &Workload) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(workload, &workload.name),
        "spec": { "groups": groups(workload) },
    })
}

/// The service's name becomes the job, which is what the rules look for.
fn monitor(workload: &Workload) -> Value {
    let credentials = workload.metrics_key.as_ref().map(
        |key| json!({ "type": "Bearer", "credentials": { "name": workload.secret_name(), "key": key } }),
    );
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": { "matchLabels": selector(workload) },
            "podMetricsEndpoints": [{
                "port": "http",
                "path": "/metrics",
                "interval": "15s",
                "authorization": credentials,
            }],
        },
    })
}

fn notes(workload: &Workload) -> Vec<String> {
    let mut notes = vec![format!(
        "The rules look for the job `{}`: the PodMonitor and the Compose files name it so; another way of scraping must, too.",
        workload.name
    )];
    if workload.sizing.replicas_min == 0 {
        notes.push(format!(
            "{} may have no replica at all, so no alert says that none answers.",
            workload.environment
        ));
    }
    notes
}

fn readme(workload: &Workload) -> String {
    let namespace = kubernetes::namespace_name(workload);
    let mut out = format!(
        "# Alerts of {} ({})\n\n\
         `{RULES}` goes to a Prometheus that reads files (`rule_files`). Where its operator runs, apply the two objects,\n\
         with the label that its selectors ask for, if they ask for one (often `release`):\n\n\
         ```sh\nkubectl -n {namespace} apply -f prometheus-rule.yaml -f pod-monitor.yaml\n```\n\n\
         Each alert has two trials, one in which it fires and one in which it does not:\n\n\
         ```sh\npromtool check rules {RULES}\npromtool test rules {TRIALS}\n```\n\n\
         | alert | severity | what is the matter |\n|---|---|---|\n",
        workload.name, workload.environment
    );
    for alert in alerts(workload).iter().flat_map(|(_, alerts)| alerts) {
        let name = alert.name;
        out.push_str(&format!(
            "| [{name}]({}) | {} | {} |\n",
            alert.runbook(),
            alert.severity.name(),
            alert.plainly()
        ));
    }
    out.push_str("\n## Worth knowing\n\n");
    for note in notes(workload) {
        out.push_str(&format!("- {note}\n"));
    }
    out
}

#[cfg(test)]
mod tests;
