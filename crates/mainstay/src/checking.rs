//! ★ The production checklist on a running service. To add an item: a `LiveRule` in the `RULES` of its file in
//! `checking/` (or a file, and a line in `RULES` here), and its row in `docs/guide/checklist.md`.
//!
//! What can be judged on paper is in mainstay-ship; here is what asks a service over the wire, as any caller could, and
//! what reads the project from the disk for both.

mod api;
mod draining;
mod exhaustion;
mod limits;
mod outage;
mod probes;
pub(crate) mod project;
mod raw;
mod secrecy;
mod service;
mod ssrf;
mod streams;
mod tenants;
mod work;

use futures_util::future::{BoxFuture, join_all};
use mainstay_ship::checks::{GROUPS, Item, Layer, Outcome, Verdict};

pub(crate) use exhaustion::Exhaust;
pub(crate) use outage::Commands;
pub(crate) use service::{Asked, Given, Service};

/// An item that a running service shows.
pub(crate) struct LiveRule {
    /// What it is about.
    pub(crate) item: Item,
    /// When it is asked.
    when: When,
    /// Asks, and judges.
    ask: for<'s> fn(&'s Service) -> BoxFuture<'s, Verdict>,
}

/// When an item is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// One after the other.
    First,
    /// All at once: they wait for the service.
    Waiting,
    /// Alone, since something that the service needs is away meanwhile.
    Outage,
    /// After those who ask with the key, since it is used up.
    Exhausting,
    /// At the end, since nothing answers afterwards.
    Last,
}

/// Every item, by room.
static RULES: &[&[LiveRule]] = &[
    probes::RULES,
    api::RULES,
    tenants::RULES,
    limits::RULES,
    secrecy::RULES,
    ssrf::RULES,
    streams::RULES,
    outage::RULES,
    exhaustion::RULES,
    draining::RULES,
];

fn all() -> impl Iterator<Item = &'static LiveRule> {
    RULES.iter().flat_map(|rules| rules.iter())
}

/// The ids of every item, on paper and live.
pub(crate) fn ids() -> Vec<&'static str> {
    let paper = GROUPS.iter().flat_map(|group| group.rules).map(|rule| rule.item.id);
    paper.chain(all().map(|rule| rule.item.id)).collect()
}

/// Asks a running service everything.
pub(crate) async fn judge(service: &Service) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for when in [When::First, When::Waiting, When::Outage, When::Exhausting, When::Last] {
        let rules: Vec<&LiveRule> = all().filter(|rule| rule.when == when).collect();
        if when == When::Waiting {
            let asked = join_all(rules.iter().map(|rule| (rule.ask)(service))).await;
            let both = rules.iter().zip(asked);
            outcomes.extend(both.map(|(rule, verdict)| Outcome::new(rule.item, Layer::Live, verdict)));
        } else {
            for rule in rules {
                outcomes.push(Outcome::new(rule.item, Layer::Live, (rule.ask)(service).await));
            }
        }
    }
    outcomes
}

/// The same without a service: nothing is known.
pub(crate) fn unasked() -> Vec<Outcome> {
    let unknown = || Verdict::Unknown("no running service was asked: give `--url`".to_owned());
    all().map(|rule| Outcome::new(rule.item, Layer::Live, unknown())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Where every item is described.
    const PAGE: &str = include_str!("../../../docs/guide/checklist.md");

    #[test]
    fn every_item_stands_once_and_on_the_page_of_the_guide() {
        let ids = ids();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an id stands twice");
        for id in &ids {
            assert!(PAGE.contains(&format!("| `{id}` |")), "the page lacks a row for {id}");
        }
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        // The table of verdicts has rows, too.
        for row in rows.filter(|row| row.contains('/')) {
            assert!(unique.contains(&row), "the page has a row for {row}, which is no item");
        }
    }
}
