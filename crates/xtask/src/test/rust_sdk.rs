//! The Dapr SDK for Rust, unmodified, as two apps that speak gRPC beside the binary: `tests/rust-dapr`, a workspace of
//! its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{House, Outcome};
use crate::{project, shell};

/// Longest run of the checks.
const TIME_MAX: Duration = Duration::from_secs(3 * 60);

pub(super) fn dapr(house: &House) -> anyhow::Result<Outcome> {
    let (program, home) = (build()?, tempfile::tempdir()?);
    let callee = folder(home.path(), "rust-callee")?;
    let caller = folder(home.path(), "rust")?;
    let mut command = beside(house, &program, home.path(), &callee, "rust-callee")?;
    let _callee = shell::Running::start(&mut command)?;
    let said = caller.join("said.txt");
    let mut command = beside(house, &program, home.path(), &caller, "rust")?;
    command.env("RUST_SECRET", "hush").env("DAPR_API_TOKEN", "sesame").env("APP_API_TOKEN", "for the app");
    command.stderr(std::fs::File::create(&said)?);
    let outcome = shell::run_within(&mut command, TIME_MAX);
    let said = std::fs::read_to_string(said)?;
    outcome.with_context(|| format!("its sidecar said:\n{said}"))?;
    is_calm(&said)?;
    Ok(Outcome::Passed("dapr 0.20.0".to_owned()))
}

/// The apps. What is built of the SDK stays beside other tools, away from what the house builds.
fn build() -> anyhow::Result<PathBuf> {
    let target = project::tools_folder().join("rust-dapr");
    let mut build = project::cargo();
    build.args(["build", "--quiet", "--locked", "--manifest-path"]);
    build.arg(project::root().join("tests/rust-dapr/Cargo.toml"));
    shell::run(build.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("debug/rust-dapr"))
}

/// A folder with what the components of an app name.
fn folder(home: &Path, app: &str) -> anyhow::Result<PathBuf> {
    let folder = home.join(app);
    std::fs::create_dir_all(folder.join("keys"))?;
    std::fs::write(folder.join("keys/bytes"), [7_u8; 32])?;
    std::fs::write(folder.join("settings.yaml"), "colour: blue\n")?;
    Ok(folder)
}

/// An app and its sidecar, in a folder of theirs; apps of the same home find each other.
fn beside(house: &House, program: &Path, home: &Path, folder: &Path, app: &str) -> anyhow::Result<Command> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(house.binary()?);
    command.args(["run", "--app-id", app, "--app-protocol=grpc", "--app-port"]).arg(port.to_string());
    command.arg("--resources-path").arg(project::root().join("tests/rust-dapr/resources"));
    command.arg("--").arg(program).current_dir(folder);
    command.env("MAINSTAY_DATA_FOLDER", folder.join("data")).env("MAINSTAY_RUNTIME_FOLDER", home);
    Ok(command)
}

/// The SDK's service falls over where it is asked which bindings it wants to hear of: where there are none, nobody
/// asks.
fn is_calm(said: &str) -> anyhow::Result<()> {
    let is_asked = said.contains("does not say whether it wants events");
    anyhow::ensure!(!is_asked, "the app was asked about bindings:\n{said}");
    Ok(())
}
