//! The parts that cargo runs.

use std::path::PathBuf;

use super::{House, Outcome};
use crate::{docs, project, shell, tidy};

/// Where the tests of the real binary are; they need it built first.
const END_TO_END: &str = "mainstay-e2e";

pub(super) fn tidy(_: &House) -> anyhow::Result<Outcome> {
    anyhow::ensure!(tidy::run()?, "a house rule is broken");
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn format(_: &House) -> anyhow::Result<Outcome> {
    shell::run(project::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn lints(_: &House) -> anyhow::Result<Outcome> {
    let mut clippy = project::cargo();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    shell::run(&mut clippy)?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn tests(_: &House) -> anyhow::Result<Outcome> {
    // All of them run even when one fails, so that a run shows everything there is to repair.
    let mut test = project::cargo();
    test.args(["test", "--quiet", "--workspace", "--exclude", END_TO_END, "--no-fail-fast"]);
    shell::run(&mut test)?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn end_to_end(house: &House) -> anyhow::Result<Outcome> {
    let mut test = project::cargo();
    test.env("MAINSTAY_BIN", house.binary()?);
    test.args(["test", "--quiet", "--package", END_TO_END, "--no-fail-fast"]);
    shell::run(&mut test)?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn reference(house: &House) -> anyhow::Result<Outcome> {
    let stale = docs::check(house.binary()?)?;
    anyhow::ensure!(stale.is_empty(), "not current: {}; run `cargo xtask docs`", stale.join(", "));
    Ok(Outcome::Passed(String::new()))
}

/// The binary with the workspace's own features, so that what the tests built is used again.
pub(super) fn build_binary() -> anyhow::Result<PathBuf> {
    shell::run(project::cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    let path = project::target_folder().join("debug/mainstay");
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}

pub(super) fn deny(_: &House) -> anyhow::Result<Outcome> {
    if shell::output(project::cargo().args(["deny", "--version"])).is_err() {
        return Ok(Outcome::NotRun(
            "cargo-deny is not installed: `cargo install cargo-deny --locked`".to_owned(),
        ));
    }
    // Advisories are a database of their own, fetched by git; what is checked here needs no network.
    shell::run(project::cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Passed("bans, licences, sources".to_owned()))
}
