//! `mainstay dev`: runs the service on a laptop. The same engine as `serve`; missing models are fetched, a change of
//! the spec is taken at once.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::{Def, folder_argument, listen_argument, sidecar_port_arguments};
use crate::logging::{self, Format};
use crate::serving::{self, Options};
use crate::spec::Flags;

pub(super) const DEF: Def = Def { name: "dev", command, run };

fn command() -> Command {
    Command::new("dev")
        .about("Run the service on this machine, and again whenever its spec changes")
        .arg(folder_argument())
        .arg(listen_argument())
        .args(sidecar_port_arguments())
        .arg(log_format_argument("text"))
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    logging::start(*matches.get_one::<Format>("log-format").expect("it has a default"));
    serving::run(&options(matches, true))
}

pub(super) fn log_format_argument(default: &'static str) -> Arg {
    Arg::new("log-format")
        .long("log-format")
        .value_parser(value_parser!(Format))
        .default_value(default)
        .help("How log lines look (on standard error)")
}

pub(super) fn options(matches: &ArgMatches, dev: bool) -> Options {
    Options {
        given: matches.get_one::<PathBuf>("folder").expect("it has a default").clone(),
        flags: Flags {
            listen: matches.get_one::<String>("listen").cloned(),
            sidecar_http_port: matches.get_one("dapr-http-port").copied(),
            sidecar_grpc_port: matches.get_one("dapr-grpc-port").copied(),
        },
        dev,
    }
}
