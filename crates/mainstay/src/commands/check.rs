//! `mainstay check`: reads the spec and prints every fault it has. Connects to nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::{Def, folder_argument};
use crate::{exit, spec, terminal};

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

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let given = matches.get_one::<PathBuf>("folder").expect("it has a default");
    let json = matches.get_one::<String>("format").is_some_and(|f| f == "json");
    match spec::load(given, None) {
        Ok(loaded) => {
            let plan = &loaded.plan;
            if json {
                terminal::answer("[]\n")?;
            } else {
                let (agents, models, tools) = (plan.agents.len(), plan.models.len(), plan.tools.len());
                let path = spec::path_of(given);
                terminal::answer(&format!(
                    "{}: ok ({agents} agents, {models} models, {tools} tools)\n",
                    path.display()
                ))?;
            }
            Ok(ExitCode::from(exit::OK))
        }
        Err(spec::Fault::Faults(faults)) if json => {
            terminal::answer(&(serde_json::to_string_pretty(&faults.to_json())? + "\n"))?;
            Ok(ExitCode::from(exit::CONFIGURATION))
        }
        Err(fault) => Err(fault.explain()),
    }
}
