//! `mainstay check`: reads the spec and prints every fault it has. Connects to nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::{Def, folder_argument};
use crate::{exit, spec};

pub(super) const DEF: Def = Def { name: "check", command, run };

fn command() -> Command {
    Command::new("check")
        .about("Check a spec: every fault at once, with its place and what to do")
        .arg(folder_argument())
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("How faults are printed"),
        )
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let given = matches.get_one::<PathBuf>("folder").expect("it has a default");
    let json = matches.get_one::<String>("format").is_some_and(|f| f == "json");
    match spec::load(given, None) {
        Ok(loaded) => {
            let plan = &loaded.plan;
            if json {
                println!("[]");
            } else {
                let (agents, models, tools) = (plan.agents.len(), plan.models.len(), plan.tools.len());
                println!(
                    "{}: ok ({agents} agents, {models} models, {tools} tools)",
                    spec::path_of(given).display()
                );
            }
            Ok(ExitCode::from(exit::OK))
        }
        Err(spec::Fault::Faults(faults)) if json => {
            println!("{}", serde_json::to_string_pretty(&faults.to_json())?);
            Ok(ExitCode::from(exit::CONFIGURATION))
        }
        Err(fault) => Err(fault.explain()),
    }
}
