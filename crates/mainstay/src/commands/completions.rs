//! `mainstay completions`: the shell's completion script.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::Def;
use crate::{cli, exit, terminal};

pub(super) const DEF: Def = Def { name: "completions", command, run };

fn command() -> Command {
    Command::new("completions").about("Print a completion script for your shell").arg(
        Arg::new("shell").required(true).value_parser(value_parser!(Shell)).help("The shell to complete in"),
    )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let shell = *matches.get_one::<Shell>("shell").expect("clap demands it");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "mainstay", &mut script);
    terminal::answer(&String::from_utf8(script)?)?;
    Ok(ExitCode::from(exit::OK))
}
