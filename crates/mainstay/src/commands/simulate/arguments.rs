//! The flags of `mainstay simulate autoscale`, and reading them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use mainstay_core::plan::Environment;
use mainstay_ship::simulate::{policies, price, synthetic};

/// The word for every policy.
pub(super) const ALL: &str = "all";
/// The longest time that any flag takes.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn autoscale() -> Command {
    let listed = |name: &str, about: &str| format!("  {name:<16}{about}\n");
    let policies: String = policies::ALL.iter().map(|def| listed(def.name, def.about)).collect();
    let kinds: String = synthetic::ALL.iter().map(|kind| listed(kind.name, kind.about)).collect();
    let prices: String = price::ALL.iter().map(|price| listed(price.name, price.about)).collect();
    Command::new("autoscale")
        .about("Compare autoscaling policies on a trace of requests: waits, cold starts, cost")
        .after_help(format!(
            "Policies:\n{policies}\nSynthetic traces:\n{kinds}\nPrices:\n{}",
            prices.trim_end()
        ))
        .args(trace_arguments())
        .args(service_arguments())
        .args(replica_arguments())
        .args(report_arguments())
}

fn trace_arguments() -> Vec<Arg> {
    let kinds = PossibleValuesParser::new(synthetic::ALL.iter().map(|kind| kind.name));
    vec![
        Arg::new("trace").long("trace").value_name("FILE").value_parser(value_parser!(PathBuf)).help(
            "A trace: CSV (`seconds,input_tokens,output_tokens[,tool_seconds]`), Azure's LLM inference CSV, or \
             Mooncake's JSON lines",
        ),
        Arg::new("synthetic")
            .long("synthetic")
            .value_name("KIND")
            .value_parser(kinds)
            .default_value("bursty")
            .conflicts_with("trace")
            .hide_possible_values(true)
            .help("Make a trace up instead (kinds below)"),
        number("requests-per-minute", "60", "Requests a minute of a synthetic trace, on average").conflicts_with("trace"),
        number("minutes", "60", "How long a synthetic trace lasts").conflicts_with("trace"),
        Arg::new("seed")
            .long("seed")
            .value_name("NUMBER")
            .value_parser(value_parser!(u64))
            .default_value("1")
            .conflicts_with("trace")
            .help("Which synthetic trace; the same seed gives the same one"),
        number("input-tokens", "1500", "Tokens of a synthetic question, in the middle").conflicts_with("trace"),
        number("output-tokens", "200", "Tokens of a synthetic answer, in the middle").conflicts_with("trace"),
        Arg::new("save-trace")
            .long("save-trace")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Write the trace as CSV"),
    ]
}

fn service_arguments() -> Vec<Arg> {
    vec![
        time("fixed-time", "What every request takes").default_value("300ms"),
        number("prefill-rate", "4000", "Tokens of the question read in a second"),
        time("decode-time", "What a token of the answer takes").default_value("15ms"),
        count(
            "concurrency",
            "Requests that a replica works on at once; 8, or what the spec's target leaves room for",
        ),
        time("start", "From the decision to have a replica to its first request").default_value("20s"),
        time("grace", "How long a replica that goes may finish requests; 30s, or the spec's `server.drain`"),
    ]
}

fn replica_arguments() -> Vec<Arg> {
    let names = policies::ALL.iter().map(|def| def.name).chain([ALL]);
    vec![
        Arg::new("policy")
            .long("policy")
            .value_name("POLICY")
            .action(clap::ArgAction::Append)
            .value_parser(PossibleValuesParser::new(names))
            .hide_possible_values(true)
            .help("A policy to simulate (below), any number of times; all of them by default"),
        Arg::new("spec")
            .long("spec")
            .value_name("FOLDER")
            .value_parser(value_parser!(PathBuf))
            .help("Take the replicas, the target and the size from this spec's `deploy`"),
        Arg::new("env")
            .long("env")
            .value_name("ENVIRONMENT")
            .default_value("prod")
            .requires("spec")
            .value_parser(Environment::ALL.map(Environment::name))
            .help("The environment that is meant"),
        Arg::new("min")
            .long("min")
            .value_name("NUMBER")
            .value_parser(value_parser!(u32).range(0..=10_000))
            .help("Fewest replicas; 1, or the spec's"),
        count("max", "Most replicas; 10, or the spec's"),
        Arg::new("target").long("target").value_name("NUMBER").value_parser(positive).help(
            "Requests in flight that a replica is meant for; the spec's, or each policy's own share of the concurrency",
        ),
        time("metric-lag", "The age of the measurements that HPA and KEDA see").default_value("15s"),
    ]
}

fn report_arguments() -> Vec<Arg> {
    let prices = PossibleValuesParser::new(price::ALL.iter().map(|price| price.name));
    vec![
        time("slo", "How long a request may wait").default_value("5s"),
        Arg::new("price")
            .long("price")
            .value_name("LIST")
            .value_parser(prices)
            .default_value(price::ALL[0].name)
            .hide_possible_values(true)
            .help("The price list (below); one for all policies"),
        Arg::new("replica-hour")
            .long("replica-hour")
            .value_name("DOLLARS")
            .value_parser(positive)
            .conflicts_with("price")
            .help("What an hour of a replica costs, instead of a list"),
        Arg::new("html")
            .long("html")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Write the report as a page, too"),
        Arg::new("format")
            .long("format")
            .value_parser(["text", "json"])
            .default_value("text")
            .help("How the report is printed"),
        Arg::new("width")
            .long("width")
            .value_name("COLUMNS")
            .value_parser(value_parser!(u16))
            .default_value("110")
            .help("Columns of the charts, 40 to 200"),
    ]
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    count(name, help).default_value(default)
}

fn count(name: &'static str, help: &'static str) -> Arg {
    let parser = value_parser!(u32).range(1..=10_000_000);
    Arg::new(name).long(name).value_name("NUMBER").value_parser(parser).help(help)
}

fn time(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").value_parser(duration_of).help(help)
}

fn duration_of(text: &str) -> Result<Duration, String> {
    let found = mainstay_core::duration::parse(text).filter(|found| *found <= DURATION_MAX);
    found.ok_or_else(|| {
        "a time is a number with a unit, such as `500ms`, `20s` or `5m`; a day at most".to_owned()
    })
}

fn positive(text: &str) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|number| number.is_finite() && (1e-6..=1e9).contains(number));
    found.ok_or_else(|| "a number above 0".to_owned())
}

/// A time in milliseconds, where the flag has a default.
pub(super) fn duration(arguments: &ArgMatches, name: &str) -> u64 {
    duration_if_given(arguments, name).expect("it has a default")
}

/// A time in milliseconds.
pub(super) fn duration_if_given(arguments: &ArgMatches, name: &str) -> Option<u64> {
    let found = arguments.get_one::<Duration>(name)?;
    Some(u64::try_from(found.as_millis()).expect("flags take a day at most"))
}

/// A time in microseconds, where the flag has a default.
pub(super) fn duration_us(arguments: &ArgMatches, name: &str) -> u64 {
    let found = arguments.get_one::<Duration>(name).expect("it has a default");
    u64::try_from(found.as_micros()).expect("flags take a day at most")
}

pub(super) fn path<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    arguments.get_one::<PathBuf>(name).map(PathBuf::as_path)
}

pub(super) fn text<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    arguments.get_one::<String>(name).map(String::as_str)
}
