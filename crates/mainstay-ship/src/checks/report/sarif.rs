//! A report as SARIF 2.1.0 (OASIS), for tools that show findings beside the code.

use serde_json::{Value, json};

use super::{Outcome, Report, Status};
use crate::checks::{Finding, Place};

/// Where the format is described.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The report. `version` is Mainstay's. Items that pass are results of kind `pass`; waived ones are suppressed.
#[must_use]
pub fn sarif(report: &Report, version: &str) -> Value {
    let rules: Vec<Value> = report.outcomes.iter().map(rule).collect();
    let results: Vec<Value> =
        report.outcomes.iter().enumerate().flat_map(|(n, one)| results(n, one)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "mainstay", "version": version, "rules": rules } },
            "results": results,
        }],
    })
}

fn rule(outcome: &Outcome) -> Value {
    let item = outcome.item;
    json!({
        "id": item.id,
        "shortDescription": { "text": item.title },
        "help": { "text": item.fix },
        "defaultConfiguration": { "level": if item.gate { "error" } else { "warning" } },
        "properties": { "tags": [item.group(), outcome.layer.name()] },
    })
}

/// A result for each finding; one for an item that has none.
fn results(index: usize, outcome: &Outcome) -> Vec<Value> {
    let kind = match outcome.status {
        Status::Pass => "pass",
        Status::Fail | Status::Waived => "fail",
        Status::Unknown => "open",
    };
    let level = match (kind, outcome.item.gate) {
        ("fail", true) => "error",
        ("fail", false) => "warning",
        _ => "none",
    };
    let whole = Finding { place: None, what: outcome.evidence.clone() };
    let findings = if outcome.findings.is_empty() { vec![&whole] } else { outcome.findings.iter().collect() };
    let one = |finding: &Finding| {
        let text = if finding.what.is_empty() { outcome.item.title } else { finding.what.as_str() };
        let mut result = json!({
            "ruleId": outcome.item.id,
            "ruleIndex": index,
            "kind": kind,
            "level": level,
            "message": { "text": text },
            "locations": [location(finding.place.as_ref())],
        });
        if outcome.status == Status::Waived {
            result["suppressions"] = json!([{ "kind": "external", "justification": outcome.evidence }]);
        }
        result
    };
    findings.into_iter().map(one).collect()
}

/// What stands in no file is shown at the spec.
fn location(place: Option<&Place>) -> Value {
    let file = place.map_or("mainstay.yaml", |place| place.file.as_str());
    let uri: String = file.replace('%', "%25").replace(' ', "%20");
    let line = place.and_then(|place| place.line).unwrap_or(1);
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri },
        "region": { "startLine": line },
    } })
}
