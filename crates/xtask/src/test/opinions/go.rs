//! Programs that are published as Go modules alone, each built from one version of its module into the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{project, shell};

/// Longest for fetching and building one of them.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// The programs and their modules.
const PROGRAMS: [(&str, &str); 4] = [
    ("actionlint", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"),
    ("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"),
    ("kube-score", "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"),
    ("helm", "helm.sh/helm/v4/cmd/helm@v4.3.1"),
];

/// The folder of the programs, and those that are not there, each with the reason.
pub(super) fn programs() -> (PathBuf, Vec<(&'static str, String)>) {
    let folder = project::tools_folder().join("go");
    let is_there = shell::output(Command::new("go").arg("version")).is_ok();
    let without = PROGRAMS.iter().filter_map(|&(name, module)| {
        let outcome = if is_there {
            built(&folder, name, module).map_err(|error| super::super::first_line(&format!("{error:#}")))
        } else {
            Err("there is no go".to_owned())
        };
        outcome.err().map(|reason| (name, reason))
    });
    let without = without.collect();
    (folder, without)
}

/// Builds a program unless it was built from this version of its module.
fn built(folder: &Path, name: &str, module: &str) -> anyhow::Result<()> {
    let stamp = folder.join(format!("{name}.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == module) {
        return Ok(());
    }
    println!("building {name} …");
    std::fs::create_dir_all(folder)?;
    let mut go = Command::new("go");
    go.args(["install", module]).env("GOBIN", folder).env("CGO_ENABLED", "0");
    // A toolchain that is too old is said to be so; none is fetched in its place.
    go.env("GOTOOLCHAIN", "local");
    shell::run_within(&mut go, TIME_MAX)?;
    std::fs::write(stamp, module)?;
    Ok(())
}
