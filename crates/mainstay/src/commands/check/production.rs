//! `mainstay check --production`: the production checklist, on paper and, with `--url`, on a running service.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use mainstay_components::secrets::Secrets;
use mainstay_core::clock::Clock as _;
use mainstay_core::plan::{Anonymous, Environment};
use mainstay_core::secret::SecretSource as _;
use mainstay_core::{Error, Plan, codes};
use mainstay_net::clock::SystemClock;
use mainstay_ship::checks::{self, Outcome, Report, Waiver};

use crate::checking::{self, Asked, Commands, Exhaust, Given, Service, project};
use crate::commands::ship::Around;
use crate::commands::{client, client_runtime};
use crate::serving::signals::Signals;
use crate::wire::sidecar::Plugged;
use crate::{environment, exit, ship, spec, surroundings, terminal};

/// Where files that deploy the service are, from the spec's folder.
const OUT: &str = "deploy";

/// The arguments that count with `--production` alone.
pub(super) fn arguments() -> Vec<Arg> {
    on_paper_arguments().into_iter().chain(live_arguments()).collect()
}

fn on_paper_arguments() -> [Arg; 4] {
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
        only(
            Arg::new("waivers")
                .long("waivers")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Items that are let pass until a day; `mainstay-waivers.yaml` beside the spec by default"),
        ),
    ]
}

/// What is done to a running service; nothing that disturbs it unless it is allowed.
fn live_arguments() -> [Arg; 5] {
    let only = |arg: Arg| arg.requires("production");
    let live = |arg: Arg| only(arg).requires("url");
    [
        only(Arg::new("url").long("url").value_name("URL").help(
            "A running service to ask, too. Its key is read from MAINSTAY_API_KEY, and another caller's from \
             MAINSTAY_OTHER_API_KEY; a model is asked for a word",
        )),
        live(
            Arg::new("outage")
                .long("outage")
                .value_name("COMMAND")
                .requires("restore")
                .help("Let the check take something away that the service needs, by this command for the shell"),
        ),
        live(
            Arg::new("restore")
                .long("restore")
                .value_name("COMMAND")
                .requires("outage")
                .help("What brings that back; run in every case, also where the check is stopped"),
        ),
        live(
            Arg::new("exhaust")
                .long("exhaust")
                .value_name("REQUESTS")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
                .value_parser(exhaust)
                .help("Let the check use the key up until it is refused, by so many requests at most [default: enough]"),
        ),
        live(
            Arg::new("drain")
                .long("drain")
                .value_name("PID")
                .value_parser(value_parser!(u32))
                .help("Let the check end the service, by SIGTERM to this process, while a stream is open"),
        ),
    ]
}

/// How many requests may be made to use a key up. Errors: no number, or more than is sensible.
fn exhaust(text: &str) -> Result<Exhaust, String> {
    const REQUESTS_MAX: u32 = 100_000;
    if text.is_empty() {
        return Ok(Exhaust::Enough);
    }
    let count = text.parse().ok().filter(|count| (1..=REQUESTS_MAX).contains(count));
    count.map(Exhaust::Most).ok_or_else(|| format!("give a number from 1 to {REQUESTS_MAX}"))
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
            let given = given_of(&plan, client::with_scheme(url), matches);
            report.url = Some(given.base.clone());
            report.judged.push(format!("asked: {}", given.base));
            client_runtime()?.block_on(asked(given))?
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

/// What a running service shows. Errors: nobody answers; or the check was told to stop, and what it had taken away was
/// brought back.
async fn asked(given: Given) -> anyhow::Result<Vec<Outcome>> {
    let mut signals = Signals::new()?;
    let all = async { anyhow::Ok(checking::judge(&Service::reach(given).await?).await) };
    tokio::select! {
        outcomes = all => outcomes,
        () = signals.stop() => {
            terminal::complain("mainstay: stopped before the service was judged\n");
            Err(exit::Explained(exit::STOPPED).into())
        }
    }
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
fn given_of(plan: &Plan, base: String, matches: &ArgMatches) -> Given {
    let source = Secrets::new(&plan.folder);
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let key = environment::api_key();
    let own = plan.access.keys.iter().find(|given| {
        let value = source.resolve(&given.secret).ok();
        value.is_some_and(|value| Some(value.expose()) == key.as_ref())
    });
    let known = surroundings::references_of(plan).into_iter().filter_map(|reference| {
        let value = source.resolve(&reference).ok()?;
        Some((reference.to_string(), value.expose().clone()))
    });
    Given {
        base,
        other_key: environment::other_api_key(),
        secrets: known.collect(),
        server: plan.server.clone(),
        asked: Asked::of(plan),
        keyed: !plan.access.keys.is_empty(),
        anyone: plan.access.anonymous == Anonymous::Anyone,
        per_minute: own.and_then(|key| key.requests_per_minute).map(NonZeroU32::get),
        key,
        exhaust: matches.get_one::<Exhaust>("exhaust").copied(),
        commands: text("outage").zip(text("restore")).map(|(outage, restore)| Commands { outage, restore }),
        drain: matches.get_one::<u32>("drain").copied(),
    }
}

/// The day, in UTC.
fn today() -> String {
    mainstay_core::clock::rfc3339(SystemClock.now_ms()).chars().take("YYYY-MM-DD".len()).collect()
}
