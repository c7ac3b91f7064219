//! `release`: the binary as it is given to others: optimised, stripped, and linked statically, so that it runs in an
//! image that holds nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{project, shell};

/// Longest build: everything is optimised as one, which takes a quarter of an hour on two cores that do nothing else.
const TIME_MAX: Duration = Duration::from_secs(3 * 60 * 60);
/// A declared agent, whose image is weighed.
const AGENT: &str = "tests/images/specs/declared";

/// Bytes of an image with the binary and a declared agent, unpacked, at most.
const BYTES_MAX: u64 = 40_000_000;

/// Builds it, says where it is, and weighs the image of an agent with it.
pub(crate) fn run() -> anyhow::Result<bool> {
    let path = build("release")?;
    let megabytes = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    println!("{}: {}", path.display(), megabytes(std::fs::metadata(&path)?.len()));
    let bytes = image_bytes(&path)?;
    let bar = if bytes <= BYTES_MAX { "met" } else { "missed" };
    println!(
        "the image of a declared agent: {}; the bar of {} is {bar}",
        megabytes(bytes),
        megabytes(BYTES_MAX)
    );
    Ok(true)
}

/// Bytes of the files in the image of a declared agent. The layers are read, not what the binary says of them.
fn image_bytes(binary: &Path) -> anyhow::Result<u64> {
    let work = tempfile::tempdir()?;
    let layout = work.path().join("layout");
    let mut image = Command::new(binary);
    image.args(["image", "build", "--spec"]).arg(project::root().join(AGENT)).arg("--out").arg(&layout);
    shell::output(&mut image)?;
    let mut bytes = 0;
    for blob in std::fs::read_dir(layout.join("blobs/sha256"))? {
        let path = blob?.path();
        if std::fs::read(&path)?.starts_with(&[0x1f, 0x8b]) {
            // Beside the names of files, tar's list has their sizes.
            let list = shell::output(Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(&path))?;
            let size = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
            let sizes = list.lines().map(size);
            bytes += sizes.sum::<Option<u64>>().context("read tar's list of a layer")?;
        }
    }
    Ok(bytes)
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
    // Addresses that the loader mends are listed as a bitmap: one and a half megabytes less.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs");
    shell::run_within(&mut cargo, TIME_MAX)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let path = project::target_folder().join(target).join(folder).join("mainstay");
    anyhow::ensure!(path.is_file(), "cargo built no `{}`", path.display());
    Ok(path)
}
