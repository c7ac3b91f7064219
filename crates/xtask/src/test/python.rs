//! The official SDKs, unmodified, against the binary: `tests/python` (models) and `tests/python-dapr` (building
//! blocks), once with an older version of each and once with the newest.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{House, Outcome};
use crate::{project, shell, venv};

/// Longest run of the tests under one environment.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn older(house: &House) -> anyhow::Result<Outcome> {
    run(house, "tests/python", "sdk-older")
}

pub(super) fn newer(house: &House) -> anyhow::Result<Outcome> {
    run(house, "tests/python", "sdk-newer")
}

pub(super) fn dapr_older(house: &House) -> anyhow::Result<Outcome> {
    run(house, "tests/python-dapr", "dapr-older")
}

pub(super) fn dapr_newer(house: &House) -> anyhow::Result<Outcome> {
    run(house, "tests/python-dapr", "dapr-newer")
}

fn run(house: &House, tests: &str, name: &str) -> anyhow::Result<Outcome> {
    let programs = match environment_of(tests, name)? {
        Ok(programs) => programs,
        Err(reason) => return Ok(Outcome::NotRun(reason)),
    };
    let mut test = Command::new(programs.join("python"));
    test.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", tests]).current_dir(project::root());
    // What tests write stays beside the tools, until they run again.
    test.arg("--basetemp").arg(project::tools_folder().join(format!("{name}-tests")));
    test.env("MAINSTAY_BIN", house.binary()?).env("PYTHONDONTWRITEBYTECODE", "1");
    shell::run_within(&mut test, TIME_MAX)?;
    Ok(Outcome::Passed(pinned(tests, name)?.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The programs of the environment of `tests/python/requirements-NAME.txt`, or the reason why there is none.
pub(super) fn environment(name: &str) -> anyhow::Result<Result<PathBuf, String>> {
    environment_of("tests/python", name)
}

/// The same of `TESTS/requirements-NAME.txt`.
pub(super) fn environment_of(tests: &str, name: &str) -> anyhow::Result<Result<PathBuf, String>> {
    if shell::output(Command::new("python3").args(["-c", "import venv"])).is_err() {
        return Ok(Err("there is no python3 with its venv module".to_owned()));
    }
    let requirements = pinned(tests, name)?;
    Ok(venv::ensure(name, &requirements).map_err(|error| super::first_line(&format!("{error:#}"))))
}

/// What an environment holds, as its requirements say it.
pub(super) fn pinned(tests: &str, name: &str) -> anyhow::Result<String> {
    let path = project::root().join(tests).join(format!("requirements-{name}.txt"));
    Ok(std::fs::read_to_string(path)?)
}
