//! The Dapr SDK for JavaScript, unmodified, against the binary: `tests/node-dapr`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{House, Outcome};
use crate::{project, shell};

/// Longest installation of the packages, and longest run of the tests.
const TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// What the tests are made of.
const FILES: [&str; 5] =
    ["package.json", "package-lock.json", "sidecar.mjs", "client.test.mjs", "server.test.mjs"];

pub(super) fn dapr(house: &House) -> anyhow::Result<Outcome> {
    let folder = match folder_of("tests/node-dapr", "node-dapr", &FILES) {
        Ok(folder) => folder,
        Err(reason) => return Ok(Outcome::NotRun(reason)),
    };
    let mut test = Command::new("node");
    test.args(["--test", "client.test.mjs", "server.test.mjs"])
        .current_dir(folder)
        .env("MAINSTAY_BIN", house.binary()?);
    shell::run_within(&mut test, TIME_MAX)?;
    Ok(Outcome::Passed("@dapr/dapr 3.18.0".to_owned()))
}

/// A folder of this name with these files of `tests` and the packages of their lock file, or the reason why there is
/// none.
pub(super) fn folder_of(tests: &str, name: &str, files: &[&str]) -> Result<PathBuf, String> {
    for program in ["node", "npm"] {
        if shell::output(Command::new(program).arg("--version")).is_err() {
            return Err(format!("there is no {program}"));
        }
    }
    installed(tests, name, files).map_err(|error| super::first_line(&format!("{error:#}")))
}

/// The packages are installed anew when the lock file changed. The checkout stays as it is.
fn installed(tests: &str, name: &str, files: &[&str]) -> anyhow::Result<PathBuf> {
    let (from, folder) = (project::root().join(tests), project::tools_folder().join(name));
    std::fs::create_dir_all(&folder)?;
    let lock = std::fs::read_to_string(from.join("package-lock.json"))?;
    let stamp = folder.join("installed.json");
    let is_current = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock);
    for file in files {
        std::fs::copy(from.join(file), folder.join(file))?;
    }
    if !is_current {
        println!("installing the packages of `{tests}` …");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        shell::run_within(&mut npm, TIME_MAX)?;
        std::fs::write(stamp, lock)?;
    }
    Ok(folder)
}
