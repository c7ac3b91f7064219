//! Images made without an engine, taken by a registry and run by an engine that others wrote: `tests/ship/image.py`.

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome, servers};
use crate::{project, release, shell};

/// Longest run of all checks.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// What the checks use.
const PACKAGES: [&str; 5] = ["docker-registry", "podman", "runc", "skopeo", "catatonit"];

pub(super) fn run(_: &House) -> anyhow::Result<Outcome> {
    let packages: Vec<String> = PACKAGES.map(str::to_owned).to_vec();
    if let Outcome::NotRun(why) = servers::install_packages(&packages)? {
        return Ok(Outcome::NotRun(why));
    }
    // As development builds it: what is optimised runs the same and takes longer to make.
    let binary = release::build("dev")?;
    let work = tempfile::tempdir()?;
    let mut check = Command::new("python3");
    check.arg(project::root().join("tests/ship/image.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    check.arg("--mainstay").arg(binary).arg("--work").arg(work.path());
    shell::run_within(&mut check, TIME_MAX)?;
    Ok(Outcome::Passed("built twice alike, pushed, pulled, run without rights, drained".to_owned()))
}
