//! Images, built and run without a Docker engine: `tests/images/run.py` says what is shown. Root on Debian can do it,
//! with Debian's packages; elsewhere it is not run.
//!
//! An image needs a binary that is linked statically. That of `cargo xtask release` takes longer than all the tests, so
//! the tests' own is linked once more, statically and without symbols: only the last crate is compiled again, and it is
//! the same code. It is three times as large. What an image holds beside it is measured here, and `MAINSTAY_BIN=… cargo
//! xtask test --only images` with the released binary holds the whole against the bars.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{House, Outcome, rust, servers, ship};
use crate::{project, shell};

/// Longest run of all of it, bases made anew.
const TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// What builds, runs and keeps images, and the networks of containers.
const PACKAGES: [&str; 9] = [
    "aardvark-dns",
    "buildah",
    "catatonit",
    "docker-registry",
    "iptables",
    "netavark",
    "podman",
    "runc",
    "skopeo",
];

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::NotRun("only root can run containers here".to_owned()));
    }
    if let Outcome::NotRun(reason) = servers::install_packages(&PACKAGES.map(str::to_owned))? {
        return Ok(Outcome::NotRun(reason));
    }
    let mainstay = house.binary()?;
    let static_binary = static_binary(mainstay)?;
    let (work, cache) = (tempfile::tempdir()?, project::tools_folder().join("images"));
    std::fs::create_dir_all(&cache)?;
    let mut check = Command::new("python3");
    check.arg(project::root().join("tests/images/run.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    check.arg("--mainstay").arg(mainstay).arg("--static").arg(static_binary);
    check.arg("--work").arg(work.path()).arg("--cache").arg(cache);
    if let Ok(folder) = ship::debian::programs() {
        check.arg("--tools").arg(folder);
    }
    shell::run_within(&mut check, TIME_MAX)?;
    Ok(Outcome::Passed(std::fs::read_to_string(work.path().join("notes"))?.trim().replace('\n', "; ")))
}

/// A binary that needs no library: the one that is tested, where it is such a one, or that linked again.
fn static_binary(tested: &Path) -> anyhow::Result<PathBuf> {
    if !names_a_loader(tested)? {
        return Ok(tested.to_owned());
    }
    let mut cargo = project::cargo();
    cargo.args(["rustc", "--quiet", "--package", "mainstay", "--bin", "mainstay", "--"]);
    cargo.args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    shell::run(&mut cargo)?;
    let made = project::target_folder().join("debug/mainstay");
    let path = project::tools_folder().join("static/mainstay");
    std::fs::create_dir_all(path.parent().expect("it was joined"))?;
    std::fs::copy(&made, &path)?;
    if tested == made {
        // It is put back into its place, which takes no compiling.
        rust::build_binary()?;
    }
    anyhow::ensure!(!names_a_loader(&path)?, "`{}` is not linked statically", path.display());
    Ok(path)
}

/// Whether a binary asks for the loader of libraries, whose path then stands behind the first headers.
fn names_a_loader(path: &Path) -> anyhow::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(head.windows(4).any(|bytes| bytes == b"/ld-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_needs_libraries_is_told_from_other_files() {
        assert!(names_a_loader(&std::env::current_exe().unwrap()).unwrap(), "cargo links tests so");
        assert!(!names_a_loader(&project::root().join("Cargo.toml")).unwrap());
    }
}
