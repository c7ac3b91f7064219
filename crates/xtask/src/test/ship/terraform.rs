//! What judges Terraform modules: npm's parser with the providers' schemas, and HCL's own formatter, which Go builds.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::super::{first_line, node};
use crate::{project, shell};

/// Longest for fetching the schemas, and for building the formatter.
const TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// What the checkers are made of.
const FILES: [&str; 7] = [
    "package.json",
    "package-lock.json",
    "bindings.json",
    "fetch.mjs",
    "check.mjs",
    "kinds.mjs",
    "schemas.mjs",
];
/// The formatter's package, with its version.
const FORMATTER: &str = "github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0";

/// A folder with the parser and the schemas, or the reason why there is none.
pub(super) fn schemas() -> Result<PathBuf, String> {
    let folder = node::folder_of("tests/ship/node-terraform", "ship-node-terraform", &FILES)?;
    let mut fetch = Command::new("node");
    fetch.arg("fetch.mjs").current_dir(&folder);
    shell::run_within(&mut fetch, TIME_MAX).map_err(|error| first_line(&format!("{error:#}")))?;
    Ok(folder)
}

/// The formatter, or the reason why there is none.
pub(super) fn formatter() -> Result<PathBuf, String> {
    if shell::output(Command::new("go").arg("version")).is_err() {
        return Err("there is no go".to_owned());
    }
    built().map_err(|error| first_line(&format!("{error:#}")))
}

fn built() -> anyhow::Result<PathBuf> {
    let folder = project::tools_folder().join("hclfmt");
    let (program, stamp) = (folder.join("hclfmt"), folder.join("installed"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == FORMATTER) {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder)?;
    println!("building hclfmt …");
    let mut go = Command::new("go");
    go.args(["install", FORMATTER]).env("GOBIN", &folder).env("GOFLAGS", "-p=2");
    shell::run_within(&mut go, TIME_MAX)?;
    std::fs::write(stamp, FORMATTER)?;
    Ok(program)
}
