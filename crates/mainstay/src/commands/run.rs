//! `mainstay run`: an app and its sidecar side by side, or those of a run file; takes what `dapr run` takes.

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::Def;
use crate::run::{self, plan::Plan};
use crate::sidecar::flags;
use crate::terminal;

pub(super) const DEF: Def = Def { name: "run", command, run };

/// One-letter forms of flags.
const SHORT: &[(&str, char)] = &[
    ("app-id", 'a'),
    ("app-port", 'p'),
    ("app-protocol", 'P'),
    ("config", 'c'),
    ("components-path", 'd'),
    ("dapr-http-port", 'H'),
    ("dapr-grpc-port", 'G'),
    ("dapr-internal-grpc-port", 'I'),
    ("metrics-port", 'M'),
    ("unix-domain-socket", 'u'),
];

fn command() -> Command {
    let short = |name: &str| SHORT.iter().find(|(flag, _)| *flag == name).map(|(_, letter)| *letter);
    let flags = flags::arguments().map(|arg| match short(arg.get_id().as_str()) {
        Some(letter) => arg.short(letter),
        None => arg,
    });
    Command::new("run")
        .about("Run an app and its sidecar side by side; takes what `dapr run` takes")
        .args(flags)
        .arg(
            Arg::new("run-file")
                .long("run-file")
                .short('f')
                .value_name("FILE")
                .help("Run the apps of this file; a folder's `dapr.yaml`, or `-` for standard input"),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .help("The app's program and its arguments, after `--`; none for the sidecar alone"),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some(file) = matches.get_one::<String>("run-file") else {
        let words = matches.get_many::<String>("command").into_iter().flatten().cloned();
        return run::run(Plan::of_app(matches, words.collect())?);
    };
    let ignored: Vec<&str> = matches
        .ids()
        .map(clap::Id::as_str)
        .filter(|id| !["run-file", "log-as-json"].contains(id))
        .filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .collect();
    if !ignored.is_empty() {
        terminal::complain(&format!(
            "⚠️  The following flags are ignored when using --run-file and should be configured in the run file \
             instead: {}\n",
            ignored.join(", ")
        ));
    }
    let log_json = matches.get_one::<String>("log-as-json").is_some_and(|text| text == "true");
    run::run(Plan::of_file(file, log_json)?)
}
