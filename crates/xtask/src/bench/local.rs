//! `bench local`: the local model's speed, measured by its crate's own example on a model file.

use crate::{project, shell};

/// Passed on to the local model's example.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments of the example, after `--`
    #[arg(last = true)]
    arguments: Vec<String>,
    /// The build profile
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Builds the example and runs it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = project::cargo();
    command.args(["run", "--quiet", "--package", "mainstay-local", "--example", "bench"]);
    command.args(["--profile", &options.profile, "--"]).args(&options.arguments);
    println!("{}", project::machine()?);
    shell::run(&mut command)
}
