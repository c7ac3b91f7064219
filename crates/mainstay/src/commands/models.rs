//! `mainstay models`: the library of local models.
use super::Def;
use clap::{ArgMatches, Command};
use std::process::ExitCode;
pub(super) const DEF: Def = Def { name: "models", command, run };
fn command() -> Command {
    Command::new("models").about("List and fetch local models")
}
fn run(_: &ArgMatches) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
