//! Where things are: the checkout, the target folder, the binaries. Builds what a task needs, in the profile it asks
//! for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::Context as _;

use crate::shell;

/// The root of the checkout: the one that `cargo xtask` was called in. Where two share a target folder, the program may
/// have been built in the other one.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let called_in = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = called_in.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        manifest.ancestors().nth(2).expect("xtask lives in crates/xtask").to_owned()
    });
    &ROOT
}

/// Where cargo builds to.
pub(crate) fn target_folder() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    set.map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where tasks keep what they install (virtual environments), outside of what git sees.
pub(crate) fn tools_folder() -> PathBuf {
    target_folder().join("xtask-tools")
}

/// Cargo, as it was called.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the binary of `package` in `profile` and gives its path. Ours may be given ready-made in `$MAINSTAY_BIN`.
pub(crate) fn build(package: &str, profile: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = given_binary().filter(|_| package == "mainstay") {
        return Ok(path);
    }
    shell::run(cargo().args([
        "build",
        "--quiet",
        "--package",
        package,
        "--bin",
        package,
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let path = target_folder().join(folder).join(package);
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}

/// The binary that the developer says is to be used.
pub(crate) fn given_binary() -> Option<PathBuf> {
    std::env::var_os("MAINSTAY_BIN").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What a benchmark ran on, in a line.
pub(crate) fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().context("count the cores")?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = shell::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let model = model.trim_start_matches([' ', '\t', ':']).trim();
    Ok(format!("{}; {cores} cores, {model}, Linux {}", date.trim(), kernel.trim()))
}
