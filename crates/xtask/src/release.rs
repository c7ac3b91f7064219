//! `release`: the binary as it is given to others: optimised, stripped, and linked statically, so that it runs in an image
//! that holds nothing else.

use std::path::PathBuf;

use crate::{project, shell};

/// Bytes of an image with the binary and a declared agent, at most.
pub(crate) const IMAGE_BYTES_MAX: u64 = 40_000_000;

/// Builds it and says where it is.
pub(crate) fn run() -> anyhow::Result<bool> {
    let path = build()?;
    let bytes = std::fs::metadata(&path)?.len();
    println!("{} ({}.{} MB)", path.display(), bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    Ok(true)
}

/// Builds it and gives its path. Errors: a machine that this is not known to work on.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let target = match std::env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        "aarch64" => "aarch64-unknown-linux-gnu",
        other => anyhow::bail!("no static build is known for {other}"),
    };
    let mut cargo = project::cargo();
    cargo.args(["build", "--quiet", "--release", "--package", "mainstay", "--target", target]);
    // With a target named, build scripts and macros are linked as ever.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    shell::run(&mut cargo)?;
    let path = project::target_folder().join(target).join("release/mainstay");
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}
