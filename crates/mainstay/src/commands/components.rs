//! `mainstay components serve`: our stores as pluggable components of another runtime.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::Def;
use crate::{components, environment};

pub(super) const DEF: Def = Def { name: "components", command, run };

fn command() -> Command {
    let serve = Command::new("serve")
        .about("Offer `state.mainstay` and `pubsub.mainstay` to a Dapr runtime, through a Unix socket")
        .arg(
            Arg::new("socket-folder")
                .long("socket-folder")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where the runtime looks for sockets; DAPR_COMPONENTS_SOCKETS_FOLDER by default"),
        );
    Command::new("components")
        .about("Our stores as pluggable components of another runtime")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let folder =
        matches.subcommand_matches("serve").and_then(|serve| serve.get_one::<PathBuf>("socket-folder"));
    components::serve(&folder.cloned().unwrap_or_else(environment::sockets_folder))
}
