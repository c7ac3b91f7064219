//! `mainstay simulate autoscale`: what callers and the bill would see of each way to add and remove replicas.

mod arguments;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use mainstay_core::plan::{Environment, Pace, Sizing};
use mainstay_ship::simulate::report::{Asked, Report};
use mainstay_ship::simulate::synthetic::{self, Synthetic};
use mainstay_ship::simulate::{Def as Policy, Service, Setup, Trace, html, policies, price};

use super::{Def, client_runtime};
use crate::wire::sidecar::plugged;
use crate::{exit, spec, terminal};

pub(super) const DEF: Def = Def { name: "simulate", command, run };

/// Bytes of a trace's file.
const TRACE_BYTES_MAX: u64 = 256 << 20;
/// The share of what a replica can take at once that is planned for, where the spec says the planned number alone.
const PLANNED_SHARE: f64 = 0.6;
/// Replicas where nobody says how many.
const REPLICAS: (u32, u32) = (1, 10);

fn command() -> Command {
    Command::new("simulate")
        .about("Try on paper what a deployment would do")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(arguments::autoscale())
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (_, arguments) = matches.subcommand().expect("clap demands it");
    let trace = match trace(arguments)? {
        Ok(trace) => trace,
        Err(fault) => {
            terminal::complain(&format!("mainstay: {fault}\n"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    if let Some(path) = arguments::path(arguments, "save-trace") {
        write(path, &trace.to_csv())?;
    }
    let given = Given::of(arguments)?;
    let (service, setup) = given.setup(arguments, &trace);
    if setup.replicas_min > setup.replicas_max {
        terminal::complain("mainstay: `--min` is more than the most replicas there may be\n");
        return Ok(ExitCode::from(exit::USAGE));
    }
    let (replica_hour, price_about) = given.price(arguments);
    let slo_ms = arguments::duration(arguments, "slo");
    let asked = Asked { trace: &trace, service, setup, slo_ms, replica_hour };
    let report = Report::of(&asked, source(arguments), price_about, &chosen(arguments));
    if let Some(path) = arguments::path(arguments, "html") {
        write(path, &html::page(&report))?;
    }
    if arguments::text(arguments, "format") == Some("json") {
        terminal::answer(&format!("{:#}\n", report.json()))?;
    } else {
        let width = usize::from(*arguments.get_one::<u16>("width").expect("it has a default"));
        terminal::answer(&report.text(width))?;
        if let Some(path) = arguments::path(arguments, "html") {
            terminal::complain(&format!("{}: written\n", path.display()));
        }
    }
    Ok(ExitCode::from(exit::OK))
}

/// The policies that were asked for, each once, in the order of the list.
fn chosen(arguments: &ArgMatches) -> Vec<&'static Policy> {
    let names: Vec<&String> = arguments.get_many("policy").into_iter().flatten().collect();
    let is_all = names.is_empty() || names.iter().any(|name| *name == arguments::ALL);
    policies::ALL.iter().filter(|def| is_all || names.iter().any(|name| *name == def.name)).collect()
}

/// What the report calls the trace.
fn source(arguments: &ArgMatches) -> String {
    let number = |name| *arguments.get_one::<u32>(name).expect("it has a default");
    match arguments::path(arguments, "trace") {
        Some(path) => path.display().to_string(),
        None => format!(
            "{}, {} requests a minute, seed {}",
            arguments::text(arguments, "synthetic").unwrap_or_default(),
            number("requests-per-minute"),
            arguments.get_one::<u64>("seed").expect("it has a default"),
        ),
    }
}

/// The trace, or what is wrong with what was asked for. Errors: a file that cannot be read.
fn trace(arguments: &ArgMatches) -> anyhow::Result<Result<Trace, String>> {
    let number = |name| *arguments.get_one::<u32>(name).expect("it has a default");
    let Some(path) = arguments::path(arguments, "trace") else {
        let kind = arguments::text(arguments, "synthetic").and_then(synthetic::find);
        let synthetic = Synthetic {
            kind: kind.expect("clap knows the names"),
            requests_per_minute: number("requests-per-minute"),
            minutes: number("minutes"),
            seed: *arguments.get_one("seed").expect("it has a default"),
            input_tokens: number("input-tokens"),
            output_tokens: number("output-tokens"),
        };
        let too_large = "a trace has a million requests and eight days at most, and one request at least";
        return Ok(synthetic.trace().ok_or_else(|| too_large.to_owned()));
    };
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("open `{shown}`"))?;
    let mut text = String::new();
    file.take(TRACE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("read `{shown}`"))?;
    if text.len() as u64 > TRACE_BYTES_MAX {
        return Ok(Err(format!("{shown}: a trace has {} MiB at most", TRACE_BYTES_MAX >> 20)));
    }
    Ok(Trace::read(&text).map_err(|fault| format!("{shown}: {fault}")))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

/// What the spec says, where one was given.
struct Given {
    sizing: Option<Sizing>,
    /// How long requests may finish after the order to stop, in milliseconds.
    drain_ms: Option<u64>,
    /// Requests that a replica takes at once before it refuses more.
    requests_max: u32,
}

impl Given {
    fn of(arguments: &ArgMatches) -> anyhow::Result<Self> {
        let Some(path) = arguments::path(arguments, "spec") else {
            return Ok(Self { sizing: None, drain_ms: None, requests_max: u32::MAX });
        };
        let plugged = client_runtime()?.block_on(plugged())?;
        let loaded = spec::load(path, &spec::Flags::default(), &plugged).map_err(spec::Fault::explain)?;
        let plan = loaded.plan;
        let environment = arguments::text(arguments, "env").and_then(Environment::parse);
        let environment = environment.expect("clap knows the names");
        let sizing = plan.deploy.environments.get(&environment).cloned();
        Ok(Self {
            sizing: Some(sizing.unwrap_or_else(|| environment.sizing())),
            drain_ms: u64::try_from(plan.server.drain.as_millis()).ok(),
            requests_max: plan.server.requests_max,
        })
    }

    /// The service and what its policies are set to: flags first, then the spec, then what the help says.
    fn setup(&self, arguments: &ArgMatches, trace: &Trace) -> (Service, Setup) {
        let number = |name| arguments.get_one::<u32>(name).copied();
        let sizing = self.sizing.as_ref();
        let target = arguments.get_one::<f64>("target").copied();
        let target = target.or_else(|| sizing.map(|sizing| f64::from(sizing.in_flight)));
        let roomy = |sizing: &Sizing| {
            ((f64::from(sizing.in_flight) / PLANNED_SHARE).ceil() as u32).min(self.requests_max)
        };
        let defaults = Service::default();
        let service = Service {
            fixed_ms: arguments::duration(arguments, "fixed-time"),
            prefill_tokens_per_second: number("prefill-rate").expect("it has a default"),
            decode_us_per_token: arguments::duration_us(arguments, "decode-time"),
            concurrency: number("concurrency").or_else(|| sizing.map(roomy)).unwrap_or(defaults.concurrency),
            start_ms: arguments::duration(arguments, "start"),
            grace_ms: arguments::duration_if_given(arguments, "grace")
                .or(self.drain_ms)
                .unwrap_or(defaults.grace_ms),
        };
        let bounds = sizing.map_or(REPLICAS, |sizing| (sizing.replicas_min, sizing.replicas_max));
        let work_ms: u64 = trace.requests.iter().map(|request| service.takes_ms(request)).sum();
        let setup = Setup {
            replicas_min: number("min").unwrap_or(bounds.0),
            replicas_max: number("max").unwrap_or(bounds.1),
            target,
            concurrency: service.concurrency,
            start_ms: service.start_ms,
            metric_lag_ms: arguments::duration(arguments, "metric-lag"),
            takes_ms_mean: work_ms as f64 / trace.requests.len().max(1) as f64,
            load_mean: trace.load_mean(|request| service.takes_ms(request)),
            scale_up: sizing.map_or(Pace::UP, |sizing| sizing.scale_up),
            scale_down: sizing.map_or(Pace::DOWN, |sizing| sizing.scale_down),
        };
        (service, setup)
    }

    /// What an hour of a replica costs, and what that price is.
    fn price(&self, arguments: &ArgMatches) -> (f64, String) {
        if let Some(replica_hour) = arguments.get_one::<f64>("replica-hour") {
            return (*replica_hour, "as given".to_owned());
        }
        let list = arguments::text(arguments, "price").and_then(price::find).expect("clap knows the names");
        let sizing = self.sizing.clone().unwrap_or_default();
        let replica_hour = list.replica_hour(sizing.cpu_milli, sizing.memory_bytes);
        let (cpu, memory) = (f64::from(sizing.cpu_milli) / 1000.0, sizing.memory_bytes >> 20);
        (replica_hour, format!("{cpu} processors, {memory} MiB; {}", list.about))
    }
}
