//! `mainstay check --production`: the production checklist, on paper and, with `--url`, on a running service.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use mainstay_components::secrets::Secrets;
use mainstay_core::clock::Clock as _;
use mainstay_core::plan::{Anonymous, Environment};
use mainstay_core::secret::SecretSource as _;
use mainstay_core::{Error, Plan, codes};
use mainstay_net::clock::SystemClock;
use mainstay_ship::checks::{self, Report, Waiver};

use crate::checking::{self, Given, Service, project};
use crate::commands::ship::Around;
use crate::commands::{client, client_runtime};
use crate::wire::sidecar::Plugged;
use crate::{environment, exit, ship, spec, surroundings, terminal};

/// Where files that deploy the service are, from the spec's folder.
const OUT: &str = "deploy";

/// The arguments that count with `--production` alone.
pub(super) fn arguments() -> [Arg; 6] {
    let only = |arg: Arg| arg.requires("production");
    [
        Arg::new("production").long("production").action(ArgAction::SetTrue).help(
            "The production checklist: the project, what deploys it and, with `--url`, the running service (exit 1 where \
             an item fails)",
        ),
        only(
            Arg::new("environment")
                .long("environment")
                .value_name("ENVIRONMENT")
                .default_value("prod")
                .value_parser(Environment::ALL.map(Environment::name))
                .help("The environment that is judged"),
        ),
        only(
            Arg::new("out")
                .long("out")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where `ship` wrote; `deploy` beside the spec by default"),
        ),
        only(Arg::new("url").long("url").value_name("URL").help(
            "A running service to ask, too. Its key is read from MAINSTAY_API_KEY, and another caller's from \
             MAINSTAY_OTHER_API_KEY; a model is asked for a word",
        )),
        only(
            Arg::new("waivers")
                .long("waivers")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Items that are let pass until a day; `mainstay-waivers.yaml` beside the spec by default"),
        ),
        only(
            Arg::new("drain")
                .long("drain")
                .value_name("PID")
                .requires("url")
                .value_parser(value_parser!(u32))
                .help("Let the check end the service, by SIGTERM to this process, while a stream is open"),
        ),
    ]
}

/// Judges everything and prints it.
pub(super) fn run(matches: &ArgMatches, given: &Path, plugged: &[Plugged]) -> anyhow::Result<ExitCode> {
    let loaded =
        spec::load_and_look(given, &spec::Flags::default(), plugged, &surroundings::models_and_files);
    let plan = loaded.map_err(spec::Fault::explain)?.plan;
    let waivers = match waivers(matches, &plan)? {
        Ok(waivers) => waivers,
        Err(code) => return Ok(code),
    };
    let environment = matches.get_one::<String>("environment").and_then(|name| Environment::parse(name));
    let environment = environment.expect("clap knows the names");
    let mut report = on_paper(matches, given, &plan, environment)?;
    report.outcomes.extend(match matches.get_one::<String>("url") {
        Some(url) => {
            let given = given_of(&plan, client::with_scheme(url), matches.get_one::<u32>("drain").copied());
            report.url = Some(given.base.clone());
            report.judged.push(format!("asked: {}", given.base));
            client_runtime()?
                .block_on(async { anyhow::Ok(checking::judge(&Service::reach(given).await?).await) })?
        }
        None => checking::unasked(),
    });
    let report = report.waived(&waivers, &today());
    terminal::answer(&match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => serde_json::to_string_pretty(&checks::json(&report))? + "\n",
        Some("sarif") => {
            serde_json::to_string_pretty(&checks::sarif(&report, env!("CARGO_PKG_VERSION")))? + "\n"
        }
        _ => checks::text(&report),
    })?;
    Ok(ExitCode::from(if report.failed() { exit::FAILED } else { exit::OK }))
}

/// What the files show.
fn on_paper(
    matches: &ArgMatches,
    given: &Path,
    plan: &Plan,
    environment: Environment,
) -> anyhow::Result<Report> {
    let folder = &plan.folder;
    let out = matches.get_one::<PathBuf>("out").map_or_else(|| folder.join(OUT), Clone::clone);
    let out = std::path::absolute(&out)?;
    let way = ship::way(folder, &out);
    let around = Around::of(given, plan, &out)?;
    let shipped = around.project(plan);
    let sources = project::sources(folder, &way);
    let subject = project::subject(plan, &shipped, environment, &out, &sources);
    let (on_disk, rendered) = subject.origins();
    let said = |what: &str, targets: Vec<&str>| format!("{what}: {}", targets.join(", "));
    let mut judged = vec![format!("files of the project: {}", sources.texts.len())];
    if !on_disk.is_empty() {
        judged.push(said(&format!("as they are in {way}"), on_disk));
    }
    if !rendered.is_empty() {
        judged.push(said("as `ship` would write them", rendered));
    }
    let outcomes = checks::judge(&subject);
    Ok(Report { environment: environment.name().to_owned(), url: None, judged, outcomes })
}

/// The waivers; or the exit code, once their faults are printed. Errors: a file that was named and cannot be read.
fn waivers(matches: &ArgMatches, plan: &Plan) -> anyhow::Result<Result<Vec<Waiver>, ExitCode>> {
    let named = matches.get_one::<PathBuf>("waivers");
    let path = named.map_or_else(|| plan.folder.join(mainstay_config::WAIVERS_FILE_NAME), Clone::clone);
    if named.is_none() && !path.exists() {
        return Ok(Ok(Vec::new()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        Error::new(&codes::CONFIG_FILE, message).with_help("give the file of waivers, in UTF-8")
    })?;
    Ok(match mainstay_config::waivers(&path.display().to_string(), &text, &checking::ids()) {
        Ok(found) => Ok(found
            .into_iter()
            .map(|waiver| Waiver { id: waiver.id, reason: waiver.reason, expires: waiver.expires })
            .collect()),
        Err(faults) => {
            terminal::complain(&faults.render(terminal::coloured(&std::io::stderr())));
            Err(ExitCode::from(exit::CONFIGURATION))
        }
    })
}

/// What is known of a service before it is asked.
fn given_of(plan: &Plan, base: String, drain: Option<u32>) -> Given {
    let source = Secrets::new(&plan.folder);
    let known = surroundings::references_of(plan).into_iter().filter_map(|reference| {
        let value = source.resolve(&reference).ok()?;
        Some((reference.to_string(), value.expose().clone()))
    });
    Given {
        base,
        key: environment::api_key(),
        other_key: environment::other_api_key(),
        secrets: known.collect(),
        server: plan.server.clone(),
        keyed: !plan.access.keys.is_empty(),
        anyone: plan.access.anonymous == Anonymous::Anyone,
        drain,
    }
}

/// The day, in UTC.
fn today() -> String {
    mainstay_core::clock::rfc3339(SystemClock.now_ms()).chars().take("YYYY-MM-DD".len()).collect()
}
