//! The VAIA agent of `examples/vaia` beside a real Chroma: `tests/vaia/acceptance.py` says what it promises.

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome};
use crate::{project, shell, venv};

/// Longest run of all of it.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    if shell::output(Command::new("python3").args(["-c", "import venv"])).is_err() {
        return Ok(Outcome::NotRun("there is no python3 with its venv module".to_owned()));
    }
    let requirements = std::fs::read_to_string(project::root().join("examples/vaia/requirements.txt"))?;
    let programs = match venv::ensure("vaia", &requirements) {
        Ok(programs) => programs,
        Err(error) => return Ok(Outcome::NotRun(super::first_line(&format!("{error:#}")))),
    };
    let work = tempfile::tempdir()?;
    let mut test = Command::new(programs.join("python"));
    test.arg(project::root().join("tests/vaia/acceptance.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    test.arg("--mainstay").arg(house.binary()?).arg("--work").arg(work.path());
    shell::run_within(&mut test, TIME_MAX)?;
    Ok(Outcome::Passed(requirements.split_whitespace().collect::<Vec<_>>().join(" ")))
}
