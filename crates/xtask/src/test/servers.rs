//! The servers that backends are tested on, installed where that can be done: as root on Debian. Elsewhere the tests of
//! a backend whose server is missing are shown as not run.
//!
//! The packages are those that the recipes in `mainstay-testkit/src/servers/` name. They are read as text: to compile
//! the testkit for it would make every task wait. What no package brings has a file in `servers/`.

mod kafka;

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{House, Outcome};
use crate::{project, shell};

/// Longest for an installation.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn install(_: &House) -> anyhow::Result<Outcome> {
    let packages = packages()?;
    let outcome = install_packages(&packages)?;
    let Outcome::Passed(mut note) = outcome else { return Ok(outcome) };
    match kafka::install() {
        Ok(()) => note.push_str(" kafka"),
        Err(error) => {
            let why = super::first_line(&format!("{error:#}"));
            return Ok(Outcome::NotRun(format!("{note}, but not Kafka: {why}")));
        }
    }
    Ok(Outcome::Passed(note))
}

/// Installs what is missing of some packages of Debian; not run where that cannot be done.
pub(super) fn install_packages(packages: &[String]) -> anyhow::Result<Outcome> {
    let missing: Vec<&str> =
        packages.iter().map(String::as_str).filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(Outcome::Passed(packages.join(" ")));
    }
    let reason = |why: &str| Ok(Outcome::NotRun(format!("{} not installed, and {why}", missing.join(" "))));
    if shell::output(Command::new("apt-get").arg("--version")).is_err() {
        return reason("this is not Debian");
    }
    if !rustix::process::geteuid().is_root() {
        return reason("only root can");
    }
    match apt(&["update", "-qq"]).and_then(|()| apt(&[&INSTALL[..], &missing[..]].concat())) {
        Ok(()) => Ok(Outcome::Passed(format!("installed {}", missing.join(" ")))),
        Err(error) => reason(&super::first_line(&format!("{error:#}"))),
    }
}

const INSTALL: [&str; 4] = ["install", "-qq", "-y", "--no-install-recommends"];

fn apt(words: &[&str]) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    // In run level 1 an installation starts no service: the tests start their own.
    apt.args(words).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    shell::run_within(&mut apt, TIME_MAX)
}

fn is_installed(package: &str) -> bool {
    let mut ask = Command::new("dpkg-query");
    ask.args(["-W", "-f=${Status}", package]);
    shell::output(&mut ask).is_ok_and(|status| status.contains("install ok installed"))
}

/// The packages of every recipe, in the order of their names.
fn packages() -> anyhow::Result<Vec<String>> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(project::root().join("crates/mainstay-testkit/src/servers"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        if text.contains("pub static RECIPE") {
            packages.extend(named(&text).with_context(|| format!("{} names no packages", path.display()))?);
        }
    }
    packages.sort_unstable();
    packages.dedup();
    Ok(packages)
}

/// What a recipe's `packages: &["…", …]` holds.
fn named(recipe: &str) -> Option<Vec<String>> {
    let (_, list) = recipe.split_once("packages: &[")?;
    let (list, _) = list.split_once(']')?;
    Some(
        list.split(',')
            .map(|name| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_those_of_the_recipes() {
        assert_eq!(
            named("x\n packages: &[\"a\", \"b-c\"],\n y: &[\"d\"]"),
            Some(vec!["a".to_owned(), "b-c".to_owned()])
        );
        assert_eq!(named("packages: vec![]"), None);
        let packages = packages().unwrap();
        assert!(
            ["postgresql", "redis-server"].iter().all(|name| packages.iter().any(|package| package == name))
        );
    }
}
