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
    for program in ["node", "npm"] {
        if shell::output(Command::new(program).arg("--version")).is_err() {
            return Ok(Outcome::NotRun(format!("there is no {program}")));
        }
    }
    let folder = match installed() {
        Ok(folder) => folder,
        Err(error) => return Ok(Outcome::NotRun(super::first_line(&format!("{error:#}")))),
    };
    let mut test = Command::new("node");
    test.args(["--test", "client.test.mjs", "server.test.mjs"])
        .current_dir(folder)
        .env("MAINSTAY_BIN", house.binary()?);
    shell::run_within(&mut test, TIME_MAX)?;
    Ok(Outcome::Passed("@dapr/dapr 3.18.0".to_owned()))
}

/// A folder with the tests and the packages of their lock file, made when that changed. The checkout stays as it is.
fn installed() -> anyhow::Result<PathBuf> {
    let (from, folder) = (project::root().join("tests/node-dapr"), project::tools_folder().join("node-dapr"));
    std::fs::create_dir_all(&folder)?;
    let lock = std::fs::read_to_string(from.join("package-lock.json"))?;
    let stamp = folder.join("installed.json");
    let is_current = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock);
    for file in FILES {
        std::fs::copy(from.join(file), folder.join(file))?;
    }
    if !is_current {
        println!("installing the packages of `tests/node-dapr` …");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        shell::run_within(&mut npm, TIME_MAX)?;
        std::fs::write(stamp, lock)?;
    }
    Ok(folder)
}
