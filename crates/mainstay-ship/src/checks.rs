//! ★ The production checklist: what must hold before callers depend on a service. To add a rule: a `Rule` in the
//! `RULES` of its group in `checks/`, and its row in `docs/guide/checklist.md` (a test compares). To add a group: its
//! file, and a line in `GROUPS`.
//!
//! A rule judges a [`Subject`]: the plan, the service in an environment, and files as `ship` writes them or as they are
//! on the disk. Ids are stable: waivers name them. Pure: files and the day's date are handed in. What can be seen on a
//! running service alone is asked by the binary, which uses the same items and verdicts.

mod api;
mod config;
mod container;
mod cost;
mod dockerfile;
mod literals;
mod observability;
mod report;
mod resilience;
mod security;
mod subject;
mod terraform;
mod verdict;

pub use literals::{covers, readable};
pub use report::{Layer, Outcome, Report, Status, Waiver, json, sarif, text};
pub use subject::{Artifact, Subject, Text};
pub use verdict::{Finding, Item, Place, Verdict};

/// Rules about one concern.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its name: how the ids of its items begin.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// An item, and how it is judged on paper.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it is about.
    pub item: Item,
    /// The verdict.
    pub judge: fn(&Subject<'_>) -> Verdict,
}

/// Every group, in the order of the report.
pub static GROUPS: &[Group] = &[
    Group { name: "container", title: "Containers", rules: container::RULES },
    Group { name: "api", title: "API", rules: api::RULES },
    Group { name: "config", title: "Configuration", rules: config::RULES },
    Group { name: "resilience", title: "Resilience", rules: resilience::RULES },
    Group { name: "observability", title: "Observability", rules: observability::RULES },
    Group { name: "cost", title: "Cost", rules: cost::RULES },
    Group { name: "security", title: "Security", rules: security::RULES },
];

/// Judges everything that can be judged on paper.
#[must_use]
pub fn judge(subject: &Subject<'_>) -> Vec<Outcome> {
    let rules = GROUPS.iter().flat_map(|group| group.rules);
    rules.map(|rule| Outcome::new(rule.item, Layer::Paper, (rule.judge)(subject))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_begin_with_their_group_and_stand_once() {
        let mut seen = BTreeSet::new();
        for group in GROUPS {
            for rule in group.rules {
                let name = rule.item.id.strip_prefix(group.name).and_then(|rest| rest.strip_prefix('/'));
                let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                assert!(name.is_some_and(plain), "{}", rule.item.id);
                assert!(seen.insert(rule.item.id), "{} stands twice", rule.item.id);
                assert!(!rule.item.title.is_empty() && !rule.item.fix.is_empty(), "{}", rule.item.id);
            }
        }
    }
}
