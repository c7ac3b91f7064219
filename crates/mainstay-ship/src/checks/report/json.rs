//! A report for programs.

use serde_json::{Value, json};

use super::{Outcome, Report, Status, totals};
use crate::checks::{Finding, GROUPS};

/// The report: `{"environment", "url", "judged", "failed", "totals", "groups": [{"name", "title", "totals"}], "gates",
/// "items": [{"id", "group", "title", "gate", "layer", "verdict", "evidence": [{"text", "file", "line"}], "fix",
/// "missing"}]}`.
#[must_use]
pub fn json(report: &Report) -> Value {
    let of = |name: &'static str| report.outcomes.iter().filter(move |outcome| outcome.item.group() == name);
    let groups = GROUPS
        .iter()
        .map(|group| json!({ "name": group.name, "title": group.title, "totals": counts(of(group.name)) }));
    let gates = report.outcomes.iter().filter(|outcome| outcome.item.gate);
    json!({
        "environment": report.environment,
        "url": report.url,
        "judged": report.judged,
        "failed": report.failed(),
        "totals": counts(&report.outcomes),
        "groups": groups.collect::<Vec<_>>(),
        "gates": counts(gates),
        "items": report.outcomes.iter().map(item).collect::<Vec<_>>(),
    })
}

fn item(outcome: &Outcome) -> Value {
    let said = (!outcome.evidence.is_empty())
        .then(|| json!({ "text": outcome.evidence, "file": null, "line": null }));
    let evidence: Vec<Value> = outcome.findings.iter().map(finding).chain(said).collect();
    json!({
        "id": outcome.item.id,
        "group": outcome.item.group(),
        "title": outcome.item.title,
        "gate": outcome.item.gate,
        "layer": outcome.layer.name(),
        "verdict": outcome.status.name(),
        "evidence": evidence,
        "fix": outcome.item.fix,
        "missing": outcome.missing,
    })
}

fn finding(finding: &Finding) -> Value {
    let place = finding.place.as_ref();
    json!({
        "text": finding.what,
        "file": place.map(|place| place.file.as_str()),
        "line": place.and_then(|place| place.line),
    })
}

fn counts<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Value {
    let totals = totals(outcomes);
    let count = |status: Status| totals.get(&status).copied().unwrap_or_default();
    Status::ALL.into_iter().map(|status| (status.name().to_owned(), Value::from(count(status)))).collect()
}
