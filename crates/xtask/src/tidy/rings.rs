//! The arrows between packages point down, and features stay where heavy backends are.
//!
//! Core uses nothing of ours. Plumbing uses core and plumbing. Engines use core alone. Adapters use core and plumbing,
//! surfaces also engines, the binary everything; what stands beside (tests, tasks) may use anything, and others use it
//! in their tests alone.

use super::tree::{Package, Tree};
use super::{Finding, Rule};

pub(super) const EDGES: Rule = Rule { name: "ring-edges", check: edges };
pub(super) const FEATURES: Rule = Rule { name: "features", check: features };

/// What a package is, from its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Core,
    Plumbing,
    Engine,
    Adapter,
    Surface,
    Binary,
    Beside,
}

fn place(package: &Package) -> Option<Place> {
    Some(match (package.ring?, package.plumbing) {
        (0, false) => Place::Core,
        (1, true) => Place::Plumbing,
        (1, false) => Place::Engine,
        (2, false) => Place::Adapter,
        (3, false) => Place::Surface,
        (4, false) => Place::Binary,
        (9, false) => Place::Beside,
        _ => return None,
    })
}

fn may_use(from: Place, to: Place) -> bool {
    match from {
        Place::Core => false,
        Place::Engine => to == Place::Core,
        Place::Plumbing | Place::Adapter => matches!(to, Place::Core | Place::Plumbing),
        Place::Surface => matches!(to, Place::Core | Place::Plumbing | Place::Engine),
        Place::Binary => to != Place::Beside,
        Place::Beside => true,
    }
}

fn edges(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let Some(from) = place(package) else {
            let message = "its manifest says no ring of 0, 1, 2, 3, 4 or 9 under [package.metadata.mainstay]";
            findings.push(Finding::fault(&package.name, message));
            continue;
        };
        let known = |name: &String| tree.packages.iter().find(|other| other.name == *name).and_then(place);
        let code = package.uses.iter().filter(|to| known(to).is_some_and(|to| !may_use(from, to)));
        let tests = package
            .tests_use
            .iter()
            .filter(|to| known(to).is_some_and(|to| to != Place::Beside && !may_use(from, to)));
        findings.extend(code.chain(tests).map(|to| fault(package, from, to, known(to))));
    }
    findings
}

fn fault(package: &Package, from: Place, to: &str, to_place: Option<Place>) -> Finding {
    let to_place = to_place.map_or_else(String::new, |place| format!(" ({place:?})").to_lowercase());
    let from = format!("{from:?}").to_lowercase();
    Finding::fault(&package.name, format!("it is of the kind {from} and must not use {to}{to_place}"))
}

fn features(tree: &Tree) -> Vec<Finding> {
    let may = [Place::Plumbing, Place::Adapter, Place::Binary];
    let wrong = |package: &&Package| {
        !package.features.is_empty() && place(package).is_none_or(|place| !may.contains(&place))
    };
    let message = |package: &Package| {
        let list = package.features.join(", ");
        Finding::fault(
            &package.name,
            format!("features ({list}) belong in adapters, plumbing and the binary"),
        )
    };
    tree.packages.iter().filter(wrong).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, ring: u64, plumbing: bool, uses: &[&str], tests_use: &[&str]) -> Package {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Package {
            name: name.to_owned(),
            ring: Some(ring),
            plumbing,
            uses: owned(uses),
            tests_use: owned(tests_use),
            ..Package::default()
        }
    }

    fn house(mut extra: Package, then: fn(&mut Package)) -> Vec<Package> {
        then(&mut extra);
        let mut all = vec![
            package("core", 0, false, &[], &["testkit"]),
            package("net", 1, true, &["core"], &[]),
            package("gateway", 1, false, &["core"], &["testkit"]),
            package("journal", 2, false, &["core", "net"], &[]),
            package("http", 3, false, &["core", "net", "gateway"], &[]),
            package("binary", 4, false, &["http", "journal", "gateway"], &[]),
            package("testkit", 9, false, &["core"], &[]),
        ];
        all.push(extra);
        all
    }

    #[track_caller]
    fn check(extra: Package, edge_faults: usize) {
        let tree = Tree { packages: house(extra, |_| ()), ..Tree::default() };
        assert_eq!(edges(&tree).len(), edge_faults, "{:?}", edges(&tree));
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_a_fault() {
        check(package("agents", 1, false, &["core"], &["testkit"]), 0);
        check(package("agents", 1, false, &["gateway"], &[]), 1);
        check(package("agents", 1, false, &["net"], &[]), 1);
        check(package("tools", 2, false, &["journal"], &[]), 1);
        check(package("grpc", 3, false, &["journal"], &[]), 1);
        check(package("grpc", 3, false, &["testkit"], &[]), 1);
        check(package("grpc", 3, false, &[], &["journal"]), 1);
        check(package("lost", 7, false, &[], &[]), 1);
    }

    #[test]
    fn a_feature_in_an_engine_is_a_fault() {
        let with_features = |ring| {
            let packages =
                house(package("x", ring, false, &[], &[]), |package| package.features = vec!["redis".into()]);
            features(&Tree { packages, ..Tree::default() }).len()
        };
        assert_eq!((with_features(1), with_features(2), with_features(3)), (1, 0, 1));
    }
}
