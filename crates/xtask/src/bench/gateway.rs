//! `bench gateway`: one mock, one load generator, one gateway at a time, the direct call first. Processor time is that
//! of the gateway's whole process tree; added times are against the direct call of the same run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::Report;
use super::peers::{self, Peer, Setting};
use super::service::{Mock, Service, load};
use super::table::{Table, publish};
use crate::project;

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds a cell
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Short cells: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// Only peers whose name contains one of these
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The build profile of our binary, the mock and the load
    #[arg(long, default_value = "release")]
    profile: String,
    /// Write the table as Markdown to this file
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Longest cell.
const SECONDS_MAX: f64 = 10.0;
const QUICK_SECONDS: f64 = 1.5;
const WARM_UP_SECONDS: f64 = 1.0;
/// Memory is looked at this long after the load has ended.
const RECOVERY: Duration = Duration::from_secs(3);
const SMALL_BYTES: usize = 300;
const LARGE_BYTES: usize = 100_000;
const COLUMNS: &[&str] = &[
    "gateway",
    "CPU µs/req 0.3 kB",
    "CPU µs/req 100 kB",
    "rps c=64",
    "p99 ms c=64",
    "added p50 ms 200/s",
    "added p99 ms 200/s",
    "added TTFT p50 ms",
    "CPU ms/stream",
    "RSS idle MB",
    "RSS peak MB",
    "RSS after MB",
    "ready ms",
    "failed",
];

/// What one gateway did.
struct Measured {
    small: Cell,
    large: Cell,
    paced: Cell,
    stream: Cell,
    ready: Option<Duration>,
    idle: u64,
    peak: u64,
    after: u64,
}

/// A load and what it cost.
struct Cell {
    report: Report,
    cpu: Duration,
}

impl Cell {
    fn cpu_per_request(&self) -> Duration {
        self.cpu / u32::try_from(self.report.answered.max(1)).unwrap_or(u32::MAX)
    }
}

/// Something that can be measured: the mock itself, or a gateway before it.
struct Subject<'a> {
    address: SocketAddr,
    keys: &'a [String],
    slow: bool,
    cpu: &'a dyn Fn() -> Duration,
    resident: &'a dyn Fn() -> u64,
    resident_peak: &'a dyn Fn() -> u64,
}

/// Measures every peer and prints the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let seconds = if options.quick { QUICK_SECONDS } else { options.seconds.clamp(0.5, SECONDS_MAX) };
    let xtask = project::build("xtask", &options.profile)?;
    let mock = Mock::start(&xtask, &[])?;
    let mut table = Table::new(COLUMNS);
    let mut notes = Vec::new();
    println!("direct …");
    let direct = measure_direct(&xtask, &mock, seconds)?;
    table.row(row("direct", &direct, None));
    let mut failed = direct_failures(&direct);
    for peer in peers::ALL.iter().filter(|peer| wanted(peer, &options.only)) {
        println!("{} …", peer.name);
        match measure_peer(peer, &xtask, &mock, &options.profile, seconds) {
            Ok(measured) => {
                notes.extend(first_failure(peer.name, &measured));
                if peer.name == "mainstay" {
                    failed += direct_failures(&measured);
                }
                table.row(row(peer.name, &measured, Some(&direct)));
            }
            Err(error) => notes.push(format!("- {}: not in this run: {error:#}", peer.name)),
        }
    }
    publish(&report(&table, &notes, seconds, &options.profile)?, options.out.as_deref())?;
    Ok(failed == 0)
}

fn wanted(peer: &Peer, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| peer.name.contains(part.as_str()))
}

fn direct_failures(measured: &Measured) -> u64 {
    measured.cells().iter().map(|cell| cell.report.failed).sum()
}

fn first_failure(name: &str, measured: &Measured) -> Option<String> {
    let failure = measured.cells().into_iter().find_map(|cell| cell.report.first_failure.clone())?;
    Some(format!("- {name}: first failure: {failure}"))
}

impl Measured {
    fn cells(&self) -> [&Cell; 4] {
        [&self.small, &self.large, &self.paced, &self.stream]
    }
}

fn measure_direct(xtask: &Path, mock: &Mock, seconds: f64) -> anyhow::Result<Measured> {
    let subject = Subject {
        address: mock.address,
        keys: &[],
        slow: false,
        cpu: &|| mock.cpu(),
        resident: &|| mock.resident(),
        resident_peak: &|| mock.resident_peak(),
    };
    measure(xtask, &subject, seconds, None)
}

fn measure_peer(
    peer: &Peer,
    xtask: &Path,
    mock: &Mock,
    profile: &str,
    seconds: f64,
) -> anyhow::Result<Measured> {
    let launch = (peer.prepare)(&Setting { upstream: mock.address, profile })?;
    let service = Service::start(launch)?;
    let subject = Subject {
        address: service.address,
        keys: &service.keys,
        slow: peer.slow,
        cpu: &|| service.cpu(),
        resident: &|| service.resident(),
        resident_peak: &|| service.resident_peak(),
    };
    measure(xtask, &subject, seconds, Some(service.ready))
}

fn measure(
    xtask: &Path,
    subject: &Subject<'_>,
    seconds: f64,
    ready: Option<Duration>,
) -> anyhow::Result<Measured> {
    std::thread::sleep(Duration::from_millis(300));
    let idle = (subject.resident)();
    let streams = if subject.slow { 1 } else { 8 };
    cell(xtask, subject, "closed", 8, SMALL_BYTES, WARM_UP_SECONDS)?;
    let paced = cell(xtask, subject, "open", 256, SMALL_BYTES, seconds)?;
    let stream = cell(xtask, subject, "stream", streams, SMALL_BYTES, seconds)?;
    let small = cell(xtask, subject, "closed", 64, SMALL_BYTES, seconds)?;
    let large = cell(xtask, subject, "closed", 64, LARGE_BYTES, seconds)?;
    let peak = (subject.resident_peak)();
    std::thread::sleep(RECOVERY);
    let after = (subject.resident)();
    Ok(Measured { small, large, paced, stream, ready, idle, peak, after })
}

fn cell(
    xtask: &Path,
    subject: &Subject<'_>,
    mode: &str,
    connections: usize,
    bytes: usize,
    seconds: f64,
) -> anyhow::Result<Cell> {
    let mut arguments = vec![
        format!("--address={}", subject.address),
        format!("--mode={mode}"),
        format!("--connections={connections}"),
        format!("--body-bytes={bytes}"),
        format!("--seconds={seconds}"),
    ];
    if subject.slow && mode == "open" {
        arguments.push("--rate=50".to_owned());
    }
    arguments.extend(subject.keys.iter().map(|key| format!("--key={key}")));
    let before = (subject.cpu)();
    let report = load(xtask, &arguments)?;
    let cpu = (subject.cpu)().saturating_sub(before);
    Ok(Cell { report, cpu })
}

fn row(name: &str, measured: &Measured, direct: Option<&Measured>) -> Vec<String> {
    let added = |of: fn(&Measured) -> u32| {
        let (ours, base) = (of(measured), direct.map_or(0, of));
        let value = (f64::from(ours) - f64::from(base)) / 1_000.0;
        if direct.is_some() { format!("{value:+.2}") } else { format!("({value:.2})") }
    };
    let micros = |cell: &Cell| format!("{:.0}", cell.cpu_per_request().as_secs_f64() * 1e6);
    let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    let failed: u64 = measured.cells().iter().map(|cell| cell.report.failed).sum();
    vec![
        name.to_owned(),
        micros(&measured.small),
        micros(&measured.large),
        format!("{:.0}", measured.small.report.rate()),
        format!("{:.1}", f64::from(measured.small.report.p99_us) / 1_000.0),
        added(|m| m.paced.report.p50_us),
        added(|m| m.paced.report.p99_us),
        added(|m| m.stream.report.first_p50_us),
        format!("{:.2}", measured.stream.cpu_per_request().as_secs_f64() * 1e3),
        megabytes(measured.idle),
        megabytes(measured.peak),
        megabytes(measured.after),
        measured.ready.map_or_else(String::new, |time| time.as_millis().to_string()),
        failed.to_string(),
    ]
}

fn report(table: &Table, notes: &[String], seconds: f64, profile: &str) -> anyhow::Result<String> {
    let machine = project::machine()?;
    let mut text = format!(
        "{machine}; profile `{profile}`, {seconds} s a cell, loopback, everything on the same cores.\n\n"
    );
    text.push_str(&table.markdown());
    text.push_str(
        "\nThe mock answers 737 B at once, or streams 20 chunks 5 ms apart. CPU is user and system time of the whole \
         process tree at 64 connections in a closed loop; for `direct` it is the mock's own. Added times are against \
         `direct` in an open loop at 200/s (50/s for LiteLLM, which does not hold 200), counted from the scheduled send; \
         TTFT at 8 streams (1 for LiteLLM). MB are 10⁶ bytes. Ours has an API key with rate and concurrency limits on.\n",
    );
    if !notes.is_empty() {
        text.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    Ok(text)
}
