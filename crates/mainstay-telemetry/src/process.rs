//! Figures of this process, read from `/proc` at each scrape (Linux; elsewhere there are none).

use mainstay_core::metric::{self, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks a second in `/proc`: USER_HZ, 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Collects resident memory, CPU time, start and open descriptors.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let level = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let mut show = |metric: &Metric, value: Option<&dyn EncodeMetric>| match value {
            Some(value) => {
                let (name, kind) = (metric.stem(), value.metric_type());
                value.encode(encoder.encode_descriptor(name, metric.about, None, kind)?)
            }
            None => Ok(()),
        };
        let (memory, open) = (resident_bytes().map(level), open_descriptors().map(level));
        let stat = Stat::read();
        let cpu = stat.as_ref().map(|stat| ConstCounter::new(stat.cpu_seconds));
        let start = stat.and_then(|stat| Some(ConstGauge::new(boot_seconds()? + stat.start_seconds)));
        show(&metric::PROCESS_MEMORY, memory.as_ref().map(|m| m as _))?;
        show(&metric::PROCESS_DESCRIPTORS, open.as_ref().map(|m| m as _))?;
        show(&metric::PROCESS_CPU, cpu.as_ref().map(|m| m as _))?;
        show(&metric::PROCESS_START, start.as_ref().map(|m| m as _))
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Times of proc(5) `stat`, in seconds.
struct Stat {
    cpu_seconds: f64,
    /// After the machine's boot.
    start_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        // Fields 14, 15 and 22, counted after the command's closing parenthesis, in clock ticks.
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self { cpu_seconds: seconds(11)? + seconds(12)?, start_seconds: seconds(19)? })
    }
}

/// When the machine booted, in seconds since the epoch.
fn boot_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_descriptors() -> Option<u64> {
    u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
