//! `bench streams`: many streams at once for a while, through an agent (every event durable before it is sent) or
//! through the model front; checks that every event of every stream came, once and in order, and watches our memory.

mod reader;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::peers;
use super::service::{Binaries, Mock, Service};
use super::table::{Table, publish};
use crate::project;

/// How many, how long, through what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Streams at once
    #[arg(long, default_value_t = 1_000)]
    streams: u32,
    /// How long each stream lasts
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Milliseconds between two chunks of a stream
    #[arg(long, default_value_t = 500)]
    interval_ms: u32,
    /// Through what; both, one after the other, by default
    #[arg(long, value_enum)]
    through: Option<Through>,
    /// The build profile
    #[arg(long, default_value = "release")]
    profile: String,
    /// Write the table as Markdown to this file
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What the streams go through.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// `POST /v1/agents/bench/stream`
    Agent,
    /// `POST /v1/chat/completions`
    Model,
}

const STREAMS_MAX: u32 = 2_000;
const SECONDS_MAX: u32 = 120;
/// Beyond the streams' own length, for starting and ending them.
const SLACK: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the streams; false when an event was lost, repeated or out of order.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    anyhow::ensure!((1..=STREAMS_MAX).contains(&options.streams), "1 to {STREAMS_MAX} streams");
    anyhow::ensure!((1..=SECONDS_MAX).contains(&options.seconds), "1 to {SECONDS_MAX} seconds");
    raise_descriptor_limit();
    let binaries = Binaries::build(&options.profile)?;
    let mut table = Table::new(&[
        "through",
        "streams",
        "chunks each",
        "complete",
        "broken",
        "seconds",
        "CPU µs/chunk",
        "RSS MB idle",
        "at 1/4",
        "at 3/4",
        "peak",
        "after",
    ]);
    let mut whole = true;
    let all = [Through::Agent, Through::Model];
    for through in all.into_iter().filter(|&one| options.through.is_none_or(|only| only == one)) {
        let (row, first_broken) = measure(options, &binaries, through)?;
        if let Some(why) = first_broken {
            println!("{through:?}: a broken stream: {why}");
            whole = false;
        }
        table.row(row);
    }
    publish(
        &format!("{}; profile `{}`.\n\n{}", project::machine()?, options.profile, table.markdown()),
        options.out.as_deref(),
    )?;
    Ok(whole)
}

fn chunks(options: &Options) -> u32 {
    (options.seconds * 1_000 / options.interval_ms.max(1)).max(1)
}

fn measure(
    options: &Options,
    binaries: &Binaries,
    through: Through,
) -> anyhow::Result<(Vec<String>, Option<String>)> {
    let chunks = chunks(options);
    let mock = [format!("--chunks={chunks}"), format!("--interval-ms={}", options.interval_ms)];
    let mock = Mock::start(&binaries.xtask, &mock)?;
    let service = Service::start(peers::mainstay::launch(&binaries.mainstay, mock.address)?)?;
    let (idle, cpu_before, begin) = (service.resident(), service.cpu(), Instant::now());
    let call = reader::Call { address: service.address, key: service.keys.first().cloned(), through, chunks };
    let time_max = Duration::from_secs(options.seconds.into()) + SLACK;
    let streams = options.streams;
    let readers = std::thread::spawn(move || reader::read_all(&call, streams, time_max));
    let mut samples = Vec::new();
    while !readers.is_finished() {
        std::thread::sleep(LOOK_INTERVAL);
        samples.push(service.resident());
    }
    let seen = readers.join().map_err(|_| anyhow::anyhow!("the readers panicked"))??;
    let took = begin.elapsed();
    let cpu = service.cpu().saturating_sub(cpu_before);
    std::thread::sleep(Duration::from_secs(3));
    let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    let at = |quarter: usize| samples.get(samples.len() * quarter / 4).copied().unwrap_or(0);
    let row = vec![
        format!("{through:?}").to_lowercase(),
        streams.to_string(),
        chunks.to_string(),
        seen.complete.to_string(),
        seen.broken.to_string(),
        format!("{:.1}", took.as_secs_f64()),
        format!("{:.0}", cpu.as_secs_f64() * 1e6 / f64::from(streams) / f64::from(chunks)),
        megabytes(idle),
        megabytes(at(1)),
        megabytes(at(3)),
        megabytes(service.resident_peak()),
        megabytes(service.resident()),
    ];
    Ok((row, seen.first_broken))
}

/// A stream is a descriptor here, and two in the mock and the server.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the old limit the run says "too many open files", which is clear enough.
    let _ = setrlimit(Resource::Nofile, limit);
}
