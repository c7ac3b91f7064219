//! `release`: the binary as it is given to others: optimised, stripped, and linked statically, so that it runs in an image
//! that holds nothing else.

use std::path::PathBuf;

use crate::{project, shell};

/// Bytes of an image with the binary and a declared agent, at most: the files of an agent are small beside it.
const BYTES_MAX: u64 = 40_000_000;

/// Builds it and says where it is.
pub(crate) fn run() -> anyhow::Result<bool> {
    let path = build("release")?;
    let bytes = std::fs::metadata(&path)?.len();
    let bar = if bytes <= BYTES_MAX { "met" } else { "missed" };
    println!(
        "{}: {}.{} MB; the bar of {} MB is {bar}",
        path.display(),
        bytes / 1_000_000,
        bytes % 1_000_000 / 100_000,
        BYTES_MAX / 1_000_000,
    );
    Ok(true)
}

/// Builds it in a profile and gives its path. Errors: a machine that this is not known to work on.
fn build(profile: &str) -> anyhow::Result<PathBuf> {
    let target = match std::env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        "aarch64" => "aarch64-unknown-linux-gnu",
        other => anyhow::bail!("no static build is known for {other}"),
    };
    let mut cargo = project::cargo();
    cargo.args(["build", "--quiet", "--profile", profile, "--package", "mainstay", "--target", target]);
    // With a target named, build scripts and macros are linked as ever.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    shell::run(&mut cargo)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let path = project::target_folder().join(target).join(folder).join("mainstay");
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}
