//! Second opinions on what `mainstay ship` writes: `tests/ship/opinions/check.py` says which and how.

mod go;

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome, node, python};
use crate::{project, shell};

/// Longest run of all tools.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Where the tools' requirements and the decisions against their rules are.
const TESTS: &str = "tests/ship/opinions";

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    // The parsers and the programs of the part `ship`, and tools that need other versions of the same packages.
    let (ship, opinions) =
        match (python::environment_of("tests/ship", "ship")?, python::environment_of(TESTS, "opinions")?) {
            (Ok(ship), Ok(opinions)) => (ship, opinions),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Outcome::NotRun(reason)),
        };
    // checkov looks into no hidden folder, which the name of a temporary one would be.
    let work = tempfile::Builder::new().prefix("opinions-").tempdir()?;
    let mut check = Command::new(ship.join("python"));
    check.arg(project::root().join(TESTS).join("check.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    check.arg("--mainstay").arg(house.binary()?).arg("--work").arg(work.path());
    check.arg("--ship").arg(&ship).arg("--opinions").arg(&opinions);
    let mut missing = Vec::new();
    match node::folder_of(TESTS, "ship-opinions-node", &["package.json", "package-lock.json"]) {
        Ok(folder) => _ = check.arg("--node").arg(folder),
        Err(reason) => missing.push(("dclint", reason)),
    }
    let (folder, without) = go::programs();
    check.arg("--go").arg(folder);
    missing.extend(without);
    for (tool, reason) in &missing {
        check.arg("--missing").arg(format!("{tool}={reason}"));
    }
    shell::run_within(&mut check, TIME_MAX)?;
    let missing = missing.iter().map(|(tool, reason)| format!("; {tool} not run: {reason}"));
    let pinned = python::pinned(TESTS, "opinions")?;
    let with = pinned.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Outcome::Passed(format!("{with}, npm's and Go's{}", missing.collect::<String>())))
}
