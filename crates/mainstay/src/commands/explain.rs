//! `mainstay explain`: prints the page of an error code, for whoever has the binary and not the repository.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use mainstay_core::codes;

use super::Def;
use crate::{exit, terminal};

pub(super) const DEF: Def = Def { name: "explain", command, run };

fn command() -> Command {
    Command::new("explain").about("Say what an error code means: likely causes, and what to do").arg(
        Arg::new("code").value_name("CODE").help("The code, e.g. CONFIG_VALUE; without one, all of them"),
    )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some(given) = matches.get_one::<String>("code") else {
        let lines = codes::ALL.iter().map(|code| format!("{:<28} {}\n", code.id, code.title));
        terminal::answer(&lines.collect::<String>())?;
        return Ok(ExitCode::from(exit::OK));
    };
    let wanted = given.to_ascii_uppercase().replace('-', "_");
    if let Some(code) = codes::ALL.iter().find(|code| code.id == wanted) {
        terminal::answer(&format!("{}\n", code.page.trim_end()))?;
        return Ok(ExitCode::from(exit::OK));
    }
    let near = mainstay_config::nearest(&wanted, codes::ALL.iter().map(|code| code.id));
    let help =
        near.map_or("`mainstay explain` lists all".to_owned(), |near| format!("did you mean `{near}`?"));
    terminal::complain(&format!("mainstay: there is no error code `{given}`\n  help: {help}\n"));
    Ok(ExitCode::from(exit::USAGE))
}
