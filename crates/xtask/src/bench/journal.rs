//! `bench journal`: durable appends, measured by the journal's own example, so that it is measured without a server.

use crate::{project, shell};

/// Passed on to the journal's example.
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
    command.args(["run", "--quiet", "--package", "mainstay-journal", "--example", "bench"]);
    command.args(["--profile", &options.profile, "--"]).args(&options.arguments);
    println!("{}", project::machine()?);
    shell::run(&mut command)
}
