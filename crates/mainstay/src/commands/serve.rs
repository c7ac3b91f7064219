//! `mainstay serve`: runs the service in production.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::{Def, dev, folder_argument, listen_argument, sidecar_port_arguments};
use crate::logging::{self, Format};
use crate::serving;

pub(super) const DEF: Def = Def { name: "serve", command, run };

fn command() -> Command {
    Command::new("serve")
        .about("Run the service in production: JSON logs, nothing fetched, SIGHUP reloads")
        .arg(folder_argument())
        .arg(listen_argument())
        .args(sidecar_port_arguments())
        .arg(dev::log_format_argument("json"))
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    logging::start(*matches.get_one::<Format>("log-format").expect("it has a default"));
    serving::run(&dev::options(matches, false))
}
