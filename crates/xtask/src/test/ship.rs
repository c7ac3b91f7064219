//! What `mainstay ship` writes, judged by tools that others wrote: `tests/ship/check.py` says which and how.

pub(super) mod debian;
mod terraform;

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome, node, python};
use crate::{project, shell};

/// Longest run of all checks.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// What npm's checkers are made of.
const FILES: [&str; 3] = ["package.json", "package-lock.json", "check.mjs"];

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    let tests = "tests/ship";
    let programs = match python::environment_of(tests, "ship")? {
        Ok(programs) => programs,
        Err(reason) => return Ok(Outcome::NotRun(reason)),
    };
    let packages = node::folder_of("tests/ship/node", "ship-node", &FILES);
    let tools = debian::programs();
    let (schemas, formatter) = (terraform::schemas(), terraform::formatter());
    let work = tempfile::tempdir()?;
    let mut check = Command::new(programs.join("python"));
    check.arg(project::root().join(tests).join("check.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    check.arg("--mainstay").arg(house.binary()?).arg("--work").arg(work.path());
    if let Ok(folder) = &packages {
        check.arg("--node").arg(folder);
    }
    if let Ok(folder) = &tools {
        check.arg("--tools").arg(folder);
    }
    if let Ok(folder) = &schemas {
        check.arg("--terraform").arg(folder);
    }
    if let Ok(program) = &formatter {
        check.arg("--hclfmt").arg(program);
    }
    shell::run_within(&mut check, TIME_MAX)?;
    let mut with = python::pinned(tests, "ship")?.split_whitespace().collect::<Vec<_>>().join(" ");
    for (whose, found) in
        [("npm's", packages), ("Debian's", tools), ("Terraform's", schemas), ("HCL's", formatter)]
    {
        with += &match found {
            Ok(_) => format!(" and {whose}"),
            Err(reason) => format!("; {whose} checkers not run: {reason}"),
        };
    }
    Ok(Outcome::Passed(with))
}
