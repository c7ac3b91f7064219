//! What came of a check: verdicts with waivers applied, counted, and written for people, for programs and for tools
//! that show findings in code.

mod json;
mod sarif;
mod text;

use std::collections::BTreeMap;

use super::verdict::{Finding, Item, Verdict};

pub use json::json;
pub use sarif::sarif;
pub use text::text;

/// What showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The spec, the project's files and those that deploy it.
    Paper,
    /// The running service.
    Live,
}

impl Layer {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Live => "live",
        }
    }
}

/// What an item came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It does not, and someone has said why that is right until a day.
    Waived,
    /// It could not be judged. Never counted as a pass.
    Unknown,
}

impl Status {
    /// Every status, in the order of totals.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Waived, Self::Unknown];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Waived => "waived",
            Self::Unknown => "unknown",
        }
    }
}

/// An item that someone lets pass for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The item's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The last day on which it counts: `YYYY-MM-DD`.
    pub expires: String,
}

/// An item and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The item.
    pub item: Item,
    /// What showed it.
    pub layer: Layer,
    /// What it came to.
    pub status: Status,
    /// What shows it, in a sentence.
    pub evidence: String,
    /// What is wrong, one thing each; empty unless it fails or is waived.
    pub findings: Vec<Finding>,
    /// What Mainstay cannot do yet, where that is why it is unknown.
    pub missing: Option<String>,
}

impl Outcome {
    /// What a verdict means.
    #[must_use]
    pub fn new(item: Item, layer: Layer, verdict: Verdict) -> Self {
        let blank = |status| Self {
            item,
            layer,
            status,
            evidence: String::new(),
            findings: Vec::new(),
            missing: None,
        };
        match verdict {
            Verdict::Pass(evidence) => Self { evidence, ..blank(Status::Pass) },
            Verdict::Fail(findings) => Self { findings, ..blank(Status::Fail) },
            Verdict::Unknown(evidence) => Self { evidence, ..blank(Status::Unknown) },
            Verdict::Missing(what) => {
                let evidence = format!("Mainstay has not yet: {what}");
                Self { evidence, missing: Some(what), ..blank(Status::Unknown) }
            }
        }
    }

    /// With the waivers of its id. What Mainstay lacks cannot be waived; a waiver whose day has passed makes it fail.
    fn waived(mut self, waivers: &[Waiver], today: &str) -> Self {
        let Some(waiver) = waivers.iter().find(|waiver| waiver.id == self.item.id) else { return self };
        if self.status == Status::Pass || self.missing.is_some() {
            return self;
        }
        if waiver.expires.as_str() < today {
            let what = format!("the waiver ended on {}: {}", waiver.expires, waiver.reason);
            self.findings.push(Finding { place: None, what });
            self.status = Status::Fail;
        } else {
            self.evidence = format!("until {}: {}", waiver.expires, waiver.reason);
            self.status = Status::Waived;
        }
        self
    }
}

/// Everything that was judged.
#[derive(Clone, Debug)]
pub struct Report {
    /// The environment.
    pub environment: String,
    /// The running service that was asked, if one was.
    pub url: Option<String>,
    /// What was read from the disk and what as it would be written, in a sentence each.
    pub judged: Vec<String>,
    /// Every item, group by group.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Applies waivers as of a day (`YYYY-MM-DD`), and puts the items of each group together.
    #[must_use]
    pub fn waived(mut self, waivers: &[Waiver], today: &str) -> Self {
        self.outcomes = self.outcomes.into_iter().map(|outcome| outcome.waived(waivers, today)).collect();
        let order =
            |outcome: &Outcome| super::GROUPS.iter().position(|group| group.name == outcome.item.group());
        self.outcomes.sort_by_key(order);
        self
    }

    /// Whether an item failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.status == Status::Fail)
    }

    /// Items that cannot hold yet, by what Mainstay lacks.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, &str)> {
        let missing = self.outcomes.iter().filter_map(|one| Some((one.item.id, one.missing.as_deref()?)));
        missing.collect()
    }
}

/// How many of these there are of each status.
fn totals<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> BTreeMap<Status, usize> {
    let mut totals = BTreeMap::new();
    for outcome in outcomes {
        *totals.entry(outcome.status).or_default() += 1;
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Item = Item::gate("security/keys", "keys", "add one");

    fn report(verdict: Verdict, expires: &str) -> Report {
        let outcomes = vec![Outcome::new(ITEM, Layer::Paper, verdict)];
        let report = Report { environment: "prod".to_owned(), url: None, judged: Vec::new(), outcomes };
        let waiver = Waiver {
            id: ITEM.id.to_owned(),
            reason: "a gateway does it".to_owned(),
            expires: expires.to_owned(),
        };
        report.waived(&[waiver], "2026-11-21")
    }

    fn check(verdict: Verdict, expires: &str, expect: Status) {
        assert_eq!(report(verdict, expires).outcomes[0].status, expect);
    }

    #[test]
    fn a_waiver_counts_to_its_last_day_and_what_is_missing_has_none() {
        check(Verdict::fail("none"), "2026-11-21", Status::Waived);
        check(Verdict::fail("none"), "2026-11-20", Status::Fail);
        check(Verdict::Unknown("not asked".to_owned()), "2027-01-01", Status::Waived);
        check(Verdict::Unknown("not asked".to_owned()), "2026-01-01", Status::Fail);
        check(Verdict::Pass("keys".to_owned()), "2026-01-01", Status::Pass);
        check(Verdict::Missing("keys".to_owned()), "2027-01-01", Status::Unknown);
    }

    #[test]
    fn what_is_unknown_is_no_failure_and_no_pass() {
        let unknown = report(Verdict::Missing("keys".to_owned()), "2027-01-01");
        assert!(!unknown.failed());
        assert_eq!(unknown.missing(), [("security/keys", "keys")]);
        assert_eq!(totals(&unknown.outcomes).get(&Status::Pass), None);
        assert!(report(Verdict::fail("none"), "2026-01-01").failed());
    }

    #[test]
    fn every_form_names_the_item_and_its_place() {
        let place = Some(super::super::Place { file: "deploy/a.yaml".to_owned(), line: Some(7) });
        let report =
            report(Verdict::Fail(vec![Finding { place, what: "there is none".to_owned() }]), "2026-01-01");
        let shown = text(&report);
        for part in
            ["fail", "security/keys", "deploy/a.yaml:7: there is none", "fix: add one", "ended on 2026-01-01"]
        {
            assert!(shown.contains(part), "no `{part}`: {shown}");
        }
        let json = json(&report);
        assert_eq!(json["items"][0]["verdict"], "fail");
        assert_eq!(json["items"][0]["evidence"][0]["line"], 7);
        let sarif = sarif(&report, "1.2.3");
        let result = &sarif["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "security/keys");
        assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 7);
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["version"], "1.2.3");
    }
}
