//! `mainstay sidecar`: the building blocks for an app beside us, with daprd's flags.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::Def;
use crate::sidecar::{self, asking, flags};

pub(super) const DEF: Def = Def { name: "sidecar", command, run };

fn command() -> Command {
    Command::new("sidecar")
        .about("Serve Dapr's building blocks to an app beside us; takes daprd's flags")
        .args(flags::arguments())
        .args(asking::arguments())
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = flags::Options::of(matches)?;
    asking::answer(matches, options.http_port).unwrap_or_else(|| sidecar::run(&options))
}
