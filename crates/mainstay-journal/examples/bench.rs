//! How many small durable appends a second the journal acknowledges on a disk, and how it gets there.
//!
//! ```text
//! cargo run --release -p mainstay-journal --example bench -- [--folder DIR] [--seconds N] [--sync-delay-us N]
//! ```
//! It first measures the disk bare (append 256 B, fdatasync), then the journal at 1, 32 and 256 writers, each waiting
//! for its append before the next. `--sync-delay-us` adds a fixed time to each sync of the log, for a folder in memory.
//! It is no test: it asserts nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::journal::{RunJournal, RunRecord};
use mainstay_core::run::{RunEvent, RunEventKind};
use mainstay_core::{Ctx, RunId};
use mainstay_journal::medium::{Disk, Medium};
use mainstay_journal::{Journal, Options, Stats};

const TEXT_BYTES: usize = 120;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse()?;
    let own_folder = tempfile::tempdir()?;
    let base = arguments.folder.as_deref().unwrap_or(own_folder.path());
    let bare = bare_disk(base, arguments.sync_delay)?;
    println!("folder {}, {} cores", base.display(), std::thread::available_parallelism()?);
    println!(
        "disk bare: append 256 B + fdatasync  p50 {:.0} us  p99 {:.0} us  {:.0}/s",
        micros(bare.at(0.50)),
        micros(bare.at(0.99)),
        bare.per_second()
    );
    println!(
        "{:>7} {:>11} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>11} {:>11} {:>12}",
        "writers",
        "appends/s",
        "appends",
        "fsyncs",
        "per sync",
        "p50 us",
        "p99 us",
        "bytes",
        "cpu us",
        "x bare disk",
        "view behind",
        "caught up ms"
    );
    for writers in [1, 32, 256] {
        let folder = tempfile::Builder::new().prefix("journal-bench").tempdir_in(base)?;
        let row = measure(folder.path(), writers, &arguments)?;
        row.print(writers, bare.per_second());
        let began = Instant::now();
        let journal = Journal::open(Options { reserve_bytes: 0, ..Options::new(folder.path()) })?;
        let (stats, opened) = (journal.stats(), began.elapsed());
        println!(
            "        opened again in {:.0} ms: {} MiB of log verified, the view checked",
            opened.as_secs_f64() * 1e3,
            stats.log_bytes >> 20
        );
    }
    Ok(())
}

struct Arguments {
    folder: Option<PathBuf>,
    seconds: f64,
    sync_delay: Duration,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn std::error::Error>> {
        let mut parsed = Self { folder: None, seconds: 1.5, sync_delay: Duration::ZERO };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
            match word.as_str() {
                "--folder" => parsed.folder = Some(value.into()),
                "--seconds" => parsed.seconds = value.parse()?,
                "--sync-delay-us" => parsed.sync_delay = Duration::from_micros(value.parse()?),
                _ => return Err(format!("`{word}` is not known").into()),
            }
        }
        Ok(parsed)
    }
}

/// The real disk with a fixed time added to each sync.
#[derive(Debug)]
struct Slow(Duration);

impl Medium for Slow {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        if !self.0.is_zero() {
            std::thread::sleep(self.0);
        }
        Disk.sync(file, path)
    }
}

/// Times of one kind of thing, sorted.
struct Times {
    sorted: Vec<Duration>,
    elapsed: Duration,
}

impl Times {
    fn new(mut times: Vec<Duration>, elapsed: Duration) -> Self {
        times.sort_unstable();
        Self { sorted: times, elapsed }
    }

    fn at(&self, part: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get((last as f64 * part) as usize).copied().unwrap_or_default()
    }

    fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Half a second of bare appends and syncs into a preallocated file.
fn bare_disk(folder: &Path, delay: Duration) -> io::Result<Times> {
    let path = folder.join("bare-disk-probe");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![0; 8 << 20], 0)?;
    file.sync_all()?;
    let (medium, started) = (Slow(delay), Instant::now());
    let mut times = Vec::new();
    while started.elapsed() < Duration::from_millis(500) && times.len() < 8 << 12 {
        let began = Instant::now();
        file.write_all_at(&[7; 256], times.len() as u64 * 256)?;
        medium.sync(&file, &path)?;
        times.push(began.elapsed());
    }
    let times = Times::new(times, started.elapsed());
    std::fs::remove_file(&path)?;
    Ok(times)
}

struct Row {
    times: Times,
    stats: Stats,
    cpu: Duration,
    /// What the first read after the load waited for the view.
    caught_up: Duration,
}

fn measure(folder: &Path, writers: usize, arguments: &Arguments) -> Result<Row, Box<dyn std::error::Error>> {
    let medium = Arc::new(Slow(arguments.sync_delay));
    let options = Options { reserve_bytes: 0, medium, ..Options::new(folder) };
    let journal = Arc::new(Journal::open(options)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (cpu, started) = (cpu_time()?, Instant::now());
    let until = started + Duration::from_secs_f64(arguments.seconds);
    let times = runtime.block_on(async {
        let tasks: Vec<_> = (0..writers).map(|n| tokio::spawn(write(journal.clone(), n, until))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok::<_, Box<dyn std::error::Error>>(times)
    })?;
    let times = Times::new(times, started.elapsed());
    let (stats, cpu, began) = (journal.stats(), cpu_time()? - cpu, Instant::now());
    let nobody = RunId::parse("nobody").ok_or("a run id")?;
    runtime.block_on(journal.run(&Ctx::system(), &nobody))?;
    Ok(Row { times, stats, cpu, caught_up: began.elapsed() })
}

async fn write(
    journal: Arc<Journal>,
    writer: usize,
    until: Instant,
) -> Result<Vec<Duration>, mainstay_core::Error> {
    let ctx = Ctx::system();
    let run =
        RunId::parse(&format!("run_{writer:032}")).ok_or_else(|| mainstay_core::Error::bug("a run id"))?;
    let mut times = Vec::with_capacity(1 << 16);
    for seq in 1.. {
        let kind = RunEventKind::Text { delta: "x".repeat(TEXT_BYTES) };
        let event = RunEvent { seq, at_ms: 1_700_000_000_000 + seq, kind };
        let began = Instant::now();
        journal.append(&ctx, vec![RunRecord::Event { run: run.clone(), event }]).await?;
        times.push(began.elapsed());
        if began > until {
            break;
        }
    }
    Ok(times)
}

impl Row {
    fn print(&self, writers: usize, bare_per_second: f64) {
        let (times, stats) = (&self.times, &self.stats);
        let appends = times.sorted.len() as f64;
        println!(
            "{writers:>7} {:>11.0} {:>9} {:>9} {:>9.1} {:>8.0} {:>8.0} {:>8.0} {:>9.1} {:>11.1} {:>11} {:>12.1}",
            times.per_second(),
            times.sorted.len(),
            stats.fsyncs,
            appends / stats.fsyncs as f64,
            micros(times.at(0.50)),
            micros(times.at(0.99)),
            stats.bytes as f64 / appends,
            micros(self.cpu) / appends,
            times.per_second() / bare_per_second,
            stats.durable_lsn.saturating_sub(stats.applied_lsn),
            self.caught_up.as_secs_f64() * 1e3,
        );
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// User and system time of this process (all threads), from procfs in ticks of 10 ms.
fn cpu_time() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
