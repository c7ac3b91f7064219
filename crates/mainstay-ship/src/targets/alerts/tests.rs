//! The rules against the list of metrics and the runbook. That they fire is promtool's to say: `tests/ship`.

use std::collections::BTreeSet;

use super::*;
use crate::promql::tests::unknown;
use crate::workload::tests::workload;

/// A service that has every alert.
fn every() -> Workload {
    let mut every = workload();
    every.fallovers = vec![("fast".to_owned(), "open\"ai".to_owned()), ("slow".to_owned(), "b".to_owned())];
    every
}

fn names(workload: &Workload) -> Vec<&'static str> {
    alerts(workload).iter().flat_map(|(_, alerts)| alerts).map(|alert| alert.name).collect()
}

#[test]
fn every_query_asks_for_what_is_shown() {
    let workload = every();
    let recorded = recorded(&workload);
    let known: Vec<String> = recorded.iter().map(|(name, _)| (*name).to_owned()).collect();
    let alerts = alerts(&workload);
    let asked = alerts.iter().flat_map(|(_, alerts)| alerts).map(|alert| &alert.query);
    for query in recorded.iter().map(|(_, query)| query).chain(asked) {
        assert_eq!(unknown(query, &known), None);
    }
}

#[test]
fn every_alert_has_its_heading_in_the_runbook_and_every_heading_its_alert() {
    let page = include_str!("../../../../../docs/guide/runbook.md");
    let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings, names(&every()).into_iter().collect());
}

#[test]
fn names_are_their_own() {
    let names = names(&every());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn a_service_without_replicas_is_not_said_to_be_absent() {
    let mut asleep = every();
    asleep.sizing.replicas_min = 0;
    assert!(names(&every()).contains(&"MainstayAbsent"));
    assert!(!names(&asleep).contains(&"MainstayAbsent"));
    assert!(notes(&asleep).len() > notes(&every()).len(), "and that is said");
}

#[test]
fn an_objective_that_no_burn_can_miss_has_no_such_alert() {
    let mut lax = every();
    lax.failures_ppm = 100_000;
    assert!(!names(&lax).contains(&"MainstayBudgetBurnsFast"));
    assert!(names(&lax).contains(&"MainstayBudgetBurns"));
}
