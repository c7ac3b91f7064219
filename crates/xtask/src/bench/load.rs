//! The load generator, a process of its own: closed loop (each connection asks again when it is answered), open loop (a
//! fixed rate, latency counted from the scheduled send, so that a slow server cannot hide behind its own slowness), and
//! streams. Prints one JSON object. Bounded in connections and time; it speaks to loopback alone.

mod client;
mod pattern;
mod payload;
mod redis;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use client::Target;

/// What to send, and how.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where to send to: an address of this machine
    #[arg(long)]
    pub(super) address: SocketAddr,
    /// The path; `{n}` in it stands for the number of a key. For Redis the key itself
    #[arg(long, default_value = "/v1/chat/completions")]
    pub(super) path: String,
    /// What is sent
    #[arg(long, value_enum, default_value_t = Payload::Chat)]
    pub(super) payload: Payload,
    /// Numbers that `{n}` takes in turn
    #[arg(long, default_value_t = 1)]
    pub(super) keys: u32,
    /// The status of a good answer
    #[arg(long, default_value_t = 200)]
    pub(super) status: u16,
    /// The least bytes of a good answer
    #[arg(long, default_value_t = 200)]
    pub(super) answer_bytes_min: usize,
    /// The model to ask for
    #[arg(long, default_value = "bench")]
    pub(super) model: String,
    /// An API key to show; of several, each connection shows one
    #[arg(long)]
    pub(super) key: Vec<String>,
    /// How requests are sent
    #[arg(long, value_enum)]
    pub(super) mode: Mode,
    /// Connections; in the open loop the most that may be open
    #[arg(long, default_value_t = 64)]
    pub(super) connections: usize,
    /// Requests a second, for the open loop
    #[arg(long, default_value_t = 200)]
    pub(super) rate: u32,
    /// How long, in seconds
    #[arg(long, default_value_t = 5.0)]
    pub(super) seconds: f64,
    /// Size of a request's body
    #[arg(long, default_value_t = 300)]
    pub(super) body_bytes: usize,
}

/// What is sent.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A chat completion
    Chat,
    /// A GET
    Get,
    /// A value under a key, to be kept
    Save,
    /// An event, to be published
    Event,
    /// A read of a hash with a bare client of Redis
    Redis,
}

/// How requests are sent.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each connection asks again when it is answered
    Closed,
    /// A fixed rate, however slow the answers
    Open,
    /// As closed, with streamed answers
    Stream,
}

/// Longest run that can be asked for.
const SECONDS_MAX: f64 = 120.0;
/// Most connections that can be asked for.
const CONNECTIONS_MAX: usize = 2_000;

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Report {
    /// Requests answered as they should be.
    pub(super) answered: u64,
    /// Requests that were not.
    pub(super) failed: u64,
    /// The first failure, in words.
    pub(super) first_failure: Option<String>,
    /// How long it took.
    pub(super) seconds: f64,
    /// Time to the whole answer, microseconds.
    pub(super) p50_us: u32,
    /// As above, of the slowest in a hundred.
    pub(super) p99_us: u32,
    /// Time to the first bytes of a body, microseconds.
    pub(super) first_p50_us: u32,
    /// As above, of the slowest in a hundred.
    pub(super) first_p99_us: u32,
}

impl Report {
    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.answered as f64 / self.seconds } else { 0.0 }
    }
}

/// What the connections saw.
#[derive(Debug, Default)]
struct Seen {
    whole_us: Vec<u32>,
    first_us: Vec<u32>,
    failed: u64,
    first_failure: Option<String>,
}

impl Seen {
    fn add(&mut self, outcome: anyhow::Result<client::Timing>, since: Instant) {
        match outcome {
            Ok(timing) => {
                self.whole_us.push(micros(timing.whole.duration_since(since)));
                self.first_us.push(micros(timing.first.duration_since(since)));
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.whole_us.append(&mut other.whole_us);
        self.first_us.append(&mut other.first_us);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn report(mut self, took: Duration) -> Report {
        self.whole_us.sort_unstable();
        self.first_us.sort_unstable();
        Report {
            answered: self.whole_us.len() as u64,
            failed: self.failed,
            first_failure: self.first_failure,
            seconds: took.as_secs_f64(),
            p50_us: quantile(&self.whole_us, 0.50),
            p99_us: quantile(&self.whole_us, 0.99),
            first_p50_us: quantile(&self.first_us, 0.50),
            first_p99_us: quantile(&self.first_us, 0.99),
        }
    }
}

/// The key with this number.
fn key(number: u32) -> String {
    format!("key-{number}")
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The value below which the share `q` of sorted `values` lies; 0 of none.
fn quantile(values: &[u32], q: f64) -> u32 {
    let rank = (values.len() as f64 * q).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// Sends the load and prints the report.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.address.ip().is_loopback(),
        "load goes to this machine alone, not to {}",
        options.address
    );
    anyhow::ensure!(options.seconds <= SECONDS_MAX, "at most {SECONDS_MAX} seconds");
    anyhow::ensure!(
        (1..=CONNECTIONS_MAX).contains(&options.connections),
        "1 to {CONNECTIONS_MAX} connections"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(send(options))?;
    println!("{}", serde_json::to_string(&report).context("print the report")?);
    Ok(())
}

async fn send(options: &Options) -> anyhow::Result<Report> {
    let streamed = options.mode == Mode::Stream;
    let target = Target::new(options, streamed)?;
    let begin = Instant::now();
    let time = Duration::from_secs_f64(options.seconds);
    let seen = match options.mode {
        Mode::Open => pattern::open_loop(target, options.connections, options.rate, time).await,
        Mode::Closed | Mode::Stream => pattern::closed_loop(target, options.connections, time).await,
    };
    Ok(seen.report(begin.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_values_seen() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99)), (50, 99));
        assert_eq!((quantile(&[7], 0.99), quantile(&[], 0.5)), (7, 0));
    }

    #[test]
    fn a_failure_is_counted_and_named() {
        let mut seen = Seen::default();
        seen.add(Err(anyhow::anyhow!("status 503")), Instant::now());
        let report = seen.report(Duration::from_secs(1));
        assert_eq!(
            (report.answered, report.failed, report.first_failure.as_deref()),
            (0, 1, Some("status 503"))
        );
    }
}
