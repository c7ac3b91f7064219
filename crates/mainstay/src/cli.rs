//! The command line, built from the list of commands.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::{commands, exit};

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("mainstay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The production runtime for AI agents")
        .after_help(
            "Exit codes: 0 ok, 1 no, 64 usage, 69 unavailable, 70 bug, 78 configuration, 130 stopped.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands::ALL.iter().map(|def| (def.command)()))
}

/// Parses arguments. Help and version print and end with 0, a usage error with 64.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, ExitCode> {
    command().try_get_matches_from(with_two_dashes(arguments)).map_err(|error| {
        // Printing fails only when the terminal is gone, and then there is nobody to tell.
        let _ = error.print();
        let asked = !error.use_stderr();
        ExitCode::from(if asked { exit::OK } else { exit::USAGE })
    })
}

/// Arguments of `sidecar` with two dashes where they have one: Go's flags, which scripts that start daprd use, take
/// both.
fn with_two_dashes(arguments: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut is_sidecar = false;
    arguments.into_iter().enumerate().map(move |(at, argument)| {
        is_sidecar |= at == 1 && argument == "sidecar";
        let flag = argument
            .to_str()
            .and_then(|text| text.strip_prefix('-'))
            .filter(|flag| flag.len() > 1 && flag.starts_with(|first: char| first.is_ascii_lowercase()));
        match flag {
            Some(flag) if is_sidecar => format!("--{flag}").into(),
            _ => argument,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_sidecars_flags_may_have_one_dash() {
        let words = |line: &str| {
            let words = with_two_dashes(line.split(' ').map(OsString::from));
            words.map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            words("mainstay sidecar -app-id x --app-port 1 -h -1"),
            "mainstay sidecar --app-id x --app-port 1 -h -1"
        );
        assert_eq!(words("mainstay serve -listen x"), "mainstay serve -listen x");
    }

    #[test]
    fn a_usage_error_ends_with_64() {
        let code = parse(["mainstay", "serv"].map(OsString::from)).unwrap_err();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(exit::USAGE)));
    }
}
