//! `mainstay check`: reads the spec and prints every fault it has. Connects to nothing but the sockets of pluggable
//! components, whose types are known here as they are to a server. With `--production` it is the production checklist.

mod production;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use mainstay_config::{Diagnostic, Diagnostics};
use mainstay_core::{Plan, codes};
use serde_json::json;

use super::{Def, client_runtime, folder_argument};
use crate::wire::sidecar::plugged;
use crate::{exit, spec, surroundings, terminal};

pub(super) const DEF: Def = Def { name: "check", command, run };

fn command() -> Command {
    Command::new("check")
        .about("Check a spec: every fault at once, with its place and what to do")
        .arg(folder_argument())
        .arg(
            Arg::new("env").long("env").action(ArgAction::SetTrue).conflicts_with("production").help(
                "Look whether every secret that the spec refers to can be read here, too (else exit 69)",
            ),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["text", "json", "sarif"])
                .default_value("text")
                .help("How faults or items are printed; `sarif` with `--production`"),
        )
        .args(production::arguments())
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let given = matches.get_one::<PathBuf>("folder").expect("it has a default");
    let json = matches.get_one::<String>("format").is_some_and(|f| f == "json");
    let env = matches.get_flag("env");
    if !matches.get_flag("production") && matches.get_one::<String>("format").is_some_and(|f| f == "sarif") {
        terminal::complain(
            "mainstay: faults of the spec are not printed as SARIF\n  help: add `--production`\n",
        );
        return Ok(ExitCode::from(exit::USAGE));
    }
    let plugged = client_runtime()?.block_on(plugged())?;
    if matches.get_flag("production") {
        return production::run(matches, given, &plugged);
    }
    let look = move |plan: &Plan| {
        let secrets = if env { surroundings::secrets(plan) } else { Vec::new() };
        surroundings::models_and_files(plan).into_iter().chain(secrets).collect()
    };
    match spec::load_and_look(given, &spec::Flags::default(), &plugged, &look) {
        Ok(loaded) => {
            if json {
                let mut found = loaded.warnings.to_json();
                let warnings = std::mem::replace(&mut found["faults"], json!([]));
                (found["count"], found["warnings"]) = (json!(0), warnings);
                terminal::answer(&(serde_json::to_string_pretty(&found)? + "\n"))?;
            } else {
                terminal::complain(&shown(&loaded.warnings));
                terminal::answer(&fine(given, &loaded.plan))?;
            }
            let missing = |fault: &Diagnostic| fault.code == &codes::SECRET_UNAVAILABLE;
            let missing = loaded.warnings.files().flat_map(Diagnostics::faults).any(missing);
            Ok(ExitCode::from(if missing { exit::UNAVAILABLE } else { exit::OK }))
        }
        Err(spec::Fault::Faults(faults)) if json => {
            let mut found = faults.to_json();
            found["warnings"] = json!([]);
            terminal::answer(&(serde_json::to_string_pretty(&found)? + "\n"))?;
            Ok(ExitCode::from(exit::CONFIGURATION))
        }
        Err(fault) => Err(fault.explain()),
    }
}

fn shown(warnings: &Diagnostics) -> String {
    if warnings.is_empty() { String::new() } else { warnings.render(terminal::coloured(&std::io::stderr())) }
}

fn fine(given: &Path, plan: &Plan) -> String {
    let (agents, models, tools) = (plan.agents.len(), plan.models.len(), plan.tools.len());
    let apps = match plan.apps.len() {
        0 => String::new(),
        count => format!(", {count} apps"),
    };
    let components = match plan.resources.components.len() {
        0 => String::new(),
        count => format!(", {count} components"),
    };
    let path = spec::path_of(given);
    format!("{}: ok ({agents} agents, {models} models, {tools} tools{apps}{components})\n", path.display())
}
