//! ★ The commands. To add one: a file in `commands/` with a `DEF`, and a line in `ALL`. Help, completions and the
//! reference page come from it.

mod check;
mod client;
mod completions;
mod components;
mod dev;
mod explain;
mod healthcheck;
mod image;
mod invoke;
mod list;
#[cfg(feature = "local")]
pub(crate) mod models;
mod new;
mod reference;
mod run;
mod serve;
mod ship;
mod sidecar;
mod simulate;
mod stop;

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

/// A command.
pub(crate) struct Def {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its arguments and help.
    pub(crate) command: fn() -> Command,
    /// What it does.
    pub(crate) run: fn(&ArgMatches) -> anyhow::Result<ExitCode>,
}

/// Every command, in the order of the help.
pub(crate) static ALL: &[Def] = &[
    new::DEF,
    dev::DEF,
    serve::DEF,
    sidecar::DEF,
    run::DEF,
    stop::DEF,
    list::DEF,
    components::DEF,
    check::DEF,
    ship::DEF,
    image::DEF,
    simulate::DEF,
    invoke::DEF,
    #[cfg(feature = "local")]
    models::DEF,
    healthcheck::DEF,
    explain::DEF,
    completions::DEF,
    reference::DEF,
];

/// Runs the command that was asked for.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (name, arguments) = matches.subcommand().expect("clap demands a command");
    let def = ALL.iter().find(|def| def.name == name).expect("clap knows the list's commands alone");
    (def.run)(arguments)
}

/// An async runtime for a command that is a client: one thread is enough.
pub(crate) fn client_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The argument that names the spec's folder.
fn folder_argument() -> Arg {
    Arg::new("folder")
        .value_name("FOLDER")
        .default_value(".")
        .value_parser(value_parser!(std::path::PathBuf))
        .help("The folder of `mainstay.yaml`, or the file itself")
}

/// The argument that names the spec's folder where the words of the command are something else.
fn spec_argument() -> Arg {
    folder_argument().id("spec").long("spec")
}

/// The argument that overrides the spec's address.
fn listen_argument() -> Arg {
    Arg::new("listen")
        .long("listen")
        .value_name("ADDRESS")
        .help("Listen here instead of where the spec says, e.g. 127.0.0.1:9000")
}

/// The arguments that override the spec's ports of the building blocks.
fn sidecar_port_arguments() -> [Arg; 2] {
    let argument = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("PORT").value_parser(value_parser!(u16)).help(help)
    };
    [
        argument("dapr-http-port", "Serve the building blocks' HTTP API there, if the spec has `components`"),
        argument("dapr-grpc-port", "Serve their gRPC API there"),
    ]
}
