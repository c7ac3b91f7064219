//! A report for people.

use std::fmt::Write as _;

use super::{Outcome, Report, Status, totals};
use crate::checks::GROUPS;

/// Findings of one item that are shown; the others are counted.
const FINDINGS_SHOWN_MAX: usize = 10;

/// The report, group by group. Ends with a line break.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = format!("The production checklist, for {}\n", report.environment);
    for line in &report.judged {
        let _ = writeln!(out, "  {line}");
    }
    for group in GROUPS {
        let outcomes: Vec<&Outcome> =
            report.outcomes.iter().filter(|outcome| outcome.item.group() == group.name).collect();
        if outcomes.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{} ({})", group.title, counts(outcomes.iter().copied()));
        for outcome in outcomes {
            item(&mut out, outcome);
        }
    }
    let missing = report.missing();
    if !missing.is_empty() {
        out.push_str("\nWhat Mainstay does not have yet\n");
        for (id, what) in missing {
            let _ = writeln!(out, "  {id}: {what}");
        }
    }
    let gates: Vec<&Outcome> = report.outcomes.iter().filter(|outcome| outcome.item.gate).collect();
    let _ = writeln!(out, "\nGates: {}", counts(gates.iter().copied()));
    for gate in gates.iter().filter(|gate| gate.status != Status::Pass) {
        let _ = writeln!(out, "  {}: {}", gate.item.id, gate.status.name());
    }
    let _ = writeln!(out, "All: {}", counts(&report.outcomes));
    out
}

fn item(out: &mut String, outcome: &Outcome) {
    let Outcome { item, layer, status, evidence, findings, .. } = outcome;
    let gate = if item.gate { " (gate)" } else { "" };
    let _ = writeln!(out, "  {:<8}{}{gate} [{}]: {}", status.name(), item.id, layer.name(), item.title);
    if !evidence.is_empty() {
        let _ = writeln!(out, "            {evidence}");
    }
    for finding in findings.iter().take(FINDINGS_SHOWN_MAX) {
        let _ = writeln!(out, "            {finding}");
    }
    if findings.len() > FINDINGS_SHOWN_MAX {
        let _ = writeln!(out, "            … and {} more", findings.len() - FINDINGS_SHOWN_MAX);
    }
    if *status == Status::Fail {
        let _ = writeln!(out, "            fix: {}", item.fix);
    }
}

/// `3 of 5 pass, 1 fail, 1 unknown`.
fn counts<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> String {
    let totals = totals(outcomes);
    let all: usize = totals.values().sum();
    let mut out = format!("{} of {all} pass", totals.get(&Status::Pass).copied().unwrap_or_default());
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Pass) {
        if let Some(count) = totals.get(&status) {
            let _ = write!(out, ", {count} {}", status.name());
        }
    }
    out
}
