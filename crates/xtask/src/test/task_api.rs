//! The Task API of `examples/task-api`, both twins on every set of components: `tests/task-api/acceptance.py` says what
//! it promises. Sets whose servers are missing are not run.

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome};
use crate::{project, shell, venv};

/// Longest run of all of it.
const TIME_MAX: Duration = Duration::from_secs(20 * 60);

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    let tests = project::root().join("tests/task-api");
    if shell::output(Command::new("python3").args(["-c", "import venv"])).is_err() {
        return Ok(Outcome::NotRun("there is no python3 with its venv module".to_owned()));
    }
    let requirements = std::fs::read_to_string(tests.join("requirements.txt"))?;
    let programs = match venv::ensure("task-api", &requirements) {
        Ok(programs) => programs,
        Err(error) => return Ok(Outcome::NotRun(super::first_line(&format!("{error:#}")))),
    };
    let built = project::target_folder().join("debug");
    let mut twin = project::cargo();
    twin.args(["build", "--quiet", "--manifest-path"]);
    twin.arg(project::root().join("examples/task-api/rust/Cargo.toml"));
    shell::run(twin.env("CARGO_TARGET_DIR", project::target_folder()))?;
    let mut servers = project::cargo();
    shell::run(servers.args(["build", "--quiet", "--package", "mainstay-testkit", "--bin", "test-servers"]))?;
    // The apps are started as `python3`, which must be the one that has the SDK.
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut test = Command::new(programs.join("python"));
    test.arg(tests.join("acceptance.py")).env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    test.arg("--mainstay").arg(house.binary()?);
    test.arg("--servers").arg(built.join("test-servers")).arg("--rust").arg(built);
    let not_run = project::target_folder().join("task-api.not-run");
    test.arg("--not-run").arg(&not_run);
    shell::run_within(&mut test, TIME_MAX)?;
    Ok(outcome(&std::fs::read_to_string(&not_run)?))
}

/// How it ended whose checks have all passed, after a line for each run that could not be had: it has passed if there
/// is none.
fn outcome(not_run: &str) -> Outcome {
    match not_run.lines().next() {
        None => Outcome::Passed("both twins, every set".to_owned()),
        Some(first) => {
            let count = not_run.lines().count();
            Outcome::NotRun(format!("the rest passed, but not {count} of the runs: {first}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_was_not_run_is_told_with_its_reason() {
        assert_eq!(outcome(""), Outcome::Passed("both twins, every set".to_owned()));
        let told =
            outcome("python on postgres-kafka: Kafka is not installed\nrust on postgres-kafka: the same\n");
        let why = "the rest passed, but not 2 of the runs: python on postgres-kafka: Kafka is not installed";
        assert_eq!(told, Outcome::NotRun(why.to_owned()));
    }
}
