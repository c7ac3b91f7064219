//! `bench blocks`: the building blocks of one sidecar beside one app, under one load generator: added latency at a
//! fixed rate, what it does when asked as fast as it answers, what that costs, what memory comes to over repeats, and
//! which of its bars that reaches.

mod bars;
mod beside;
mod cells;

use std::path::PathBuf;
use std::time::Duration;

use self::beside::{Beside, Redis};
use self::cells::{ALL, Cell, Load, Subject};
use super::service::{Binaries, Mock};
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
    /// How often the load at 64 connections is repeated, to see whether memory grows
    #[arg(long, default_value_t = 3)]
    repeats: u32,
    /// The build profile of our binary, the app and the load
    #[arg(long, default_value = "release")]
    profile: String,
    /// Write the tables as Markdown to this file
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Longest cell, and most repeats.
const SECONDS_MAX: f64 = 20.0;
const REPEATS_MAX: u32 = 10;
const QUICK_SECONDS: f64 = 1.5;
/// Memory is looked at this long after the load has ended.
const RECOVERY: Duration = Duration::from_secs(3);

/// Resident memory, bytes.
struct Memory {
    ready: Duration,
    idle: u64,
    /// After each repeat.
    after: Vec<u64>,
    peak: u64,
}

/// Measures and prints the tables; false when a request failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let seconds = if options.quick { QUICK_SECONDS } else { options.seconds.clamp(0.5, SECONDS_MAX) };
    let repeats = options.repeats.clamp(1, REPEATS_MAX);
    let binaries = Binaries::build(&options.profile)?;
    let app = Mock::start(&binaries.xtask, &[])?;
    let redis = Redis::start();
    let beside = Beside::start(&binaries.mainstay, app.address, redis.as_ref().ok().map(Redis::address))?;
    let subject = Subject {
        xtask: &binaries.xtask,
        app: app.address,
        redis: redis.as_ref().ok().map(Redis::address),
        sidecar: beside.address(),
        cpu: &|| beside.cpu(),
    };
    std::thread::sleep(Duration::from_millis(500));
    let idle = beside.resident();
    cells::fill(&subject)?;
    let mut paced = Vec::new();
    for cell in ALL.iter().filter(|cell| subject.reaches(cell)) {
        println!("{} at {} a second …", cell.name, cells::RATE);
        paced.push((cell, subject.measure(cell, Load::Paced, seconds)?));
    }
    let (mut saturated, mut after) = (Vec::new(), Vec::new());
    for repeat in 1..=repeats {
        println!("as fast as it answers, {repeat} of {repeats} …");
        saturated.clear();
        for cell in ALL.iter().filter(|cell| subject.reaches(cell)) {
            saturated.push((cell, subject.measure(cell, Load::Saturated, seconds)?));
        }
        std::thread::sleep(RECOVERY);
        after.push(beside.resident());
    }
    let memory = Memory { ready: beside.ready(), idle, after, peak: beside.resident_peak() };
    let mut text = report(&paced, &saturated, &memory, seconds, &options.profile)?;
    if let Err(why) = &redis {
        text.push_str(&format!("\nRedis is not in this run: {why:#}\n"));
    }
    publish(&text, options.out.as_deref())?;
    let failed = paced.iter().chain(&saturated).map(|(_, measured)| measured.report.failed).sum::<u64>();
    Ok(failed == 0)
}

type Rows = [(&'static Cell, cells::Measured)];

fn report(
    paced: &Rows,
    saturated: &Rows,
    memory: &Memory,
    seconds: f64,
    profile: &str,
) -> anyhow::Result<String> {
    let mut latency = Table::new(&["call", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "failed"]);
    for (cell, measured) in paced {
        let base = paced.iter().find(|(other, _)| Some(other.name) == cell.base).map(|(_, base)| base);
        let added = |ours: u32, base: Option<u32>| {
            base.map_or_else(String::new, |base| format!("{:+.2}", (f64::from(ours) - f64::from(base)) / 1e3))
        };
        let (report, base) = (&measured.report, base.map(|base| &base.report));
        latency.row(vec![
            cell.name.to_owned(),
            format!("{:.2}", f64::from(report.p50_us) / 1e3),
            format!("{:.2}", f64::from(report.p99_us) / 1e3),
            added(report.p50_us, base.map(|base| base.p50_us)),
            added(report.p99_us, base.map(|base| base.p99_us)),
            report.failed.to_string(),
        ]);
    }
    let mut speed = Table::new(&["call", "a second", "p50 ms", "p99 ms", "CPU µs each", "failed"]);
    for (cell, measured) in saturated {
        let report = &measured.report;
        speed.row(vec![
            cell.name.to_owned(),
            format!("{:.0}", report.rate()),
            format!("{:.2}", f64::from(report.p50_us) / 1e3),
            format!("{:.2}", f64::from(report.p99_us) / 1e3),
            if cell.through_us {
                format!("{:.1}", measured.cpu_each().as_secs_f64() * 1e6)
            } else {
                String::new()
            },
            report.failed.to_string(),
        ]);
    }
    let megabytes = |bytes: &u64| format!("{:.0}", *bytes as f64 / 1e6);
    let after: Vec<String> = memory.after.iter().map(megabytes).collect();
    let sync = beside::sync_time()?;
    let bars = bars::table(&bars::Seen { paced, saturated, memory, sync });
    Ok(format!(
        "{machine}; profile `{profile}`, {seconds} s a cell, 1 KB values, loopback, everything on the same cores; a write of \
         1 KB and `fdatasync` on this disk takes {sync:.0} µs.\n\n\
         At {rate} calls a second on {paced_connections} connections, latency counted from the scheduled send; added is \
         against the app itself, called in the same way:\n\n{latency}\n\
         At {connections} connections, each asking again when it is answered; CPU is ours alone, user and system:\n\n{speed}\n\
         Memory: {idle} MB idle with every surface up, {after} MB {recovery} s after each of the repeats, {peak} MB at most; \
         ready after {ready} ms. MB are 10⁶ bytes.\n\n{bars}",
        machine = project::machine()?,
        sync = sync.as_secs_f64() * 1e6,
        bars = bars.markdown(),
        rate = cells::RATE,
        paced_connections = cells::PACED_CONNECTIONS,
        connections = cells::CONNECTIONS,
        latency = latency.markdown(),
        speed = speed.markdown(),
        idle = megabytes(&memory.idle),
        after = after.join(", "),
        recovery = RECOVERY.as_secs(),
        peak = megabytes(&memory.peak),
        ready = memory.ready.as_millis(),
    ))
}
