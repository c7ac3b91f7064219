//! ★ What a runtime beside an app measures, under the names that dashboards for Dapr ask for; a block that it has no
//! metric for has one of ours. To add one: a row in `FAMILIES`, and its arm in `place`.
//!
//! A report that was met before takes no lock and allocates nothing: its series is found by a hash in a table that is
//! swapped when a new one comes, and two numbers are added. The number of series has a bound; what comes after is
//! counted under `other`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_core::meter::{Block, Done, Meter};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use crate::exposition;
use crate::families::Hashed;
use crate::process::Process;
use crate::prometheus::{method_text, status_text};

/// Upper bounds of the histograms, in microseconds: the original's milliseconds, and four below one, where most calls
/// are.
const BOUNDS_US: [u64; 38] = [
    50,
    100,
    250,
    500,
    1_000,
    2_000,
    3_000,
    4_000,
    5_000,
    6_000,
    8_000,
    10_000,
    13_000,
    16_000,
    20_000,
    25_000,
    30_000,
    40_000,
    50_000,
    65_000,
    80_000,
    100_000,
    130_000,
    160_000,
    200_000,
    250_000,
    300_000,
    400_000,
    500_000,
    650_000,
    800_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];
/// Series that are told apart.
const SERIES_MAX: usize = 2_000;
/// Labels of a family besides those that all have.
const LABELS: usize = 3;

/// A metric: how often, and how long.
struct Family {
    /// The counter's name, and the histogram's, whose numbers are milliseconds.
    names: [&'static str; 2],
    about: &'static str,
    labels: &'static [&'static str],
    /// Whether its series bear the namespace.
    of_component: bool,
}

const fn of_component(
    names: [&'static str; 2],
    about: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family { names, about, labels, of_component: true }
}

const fn of_api(names: [&'static str; 2], about: &'static str, labels: &'static [&'static str]) -> Family {
    Family { names, about, labels, of_component: false }
}

const ASKED: &[&str] = &["component", "operation", "success"];
const TOOK: &[&str] = &["component", "success"];

/// Every metric, by its number in `place`.
static FAMILIES: [Family; 12] = [
    of_api(
        ["dapr_http_server_request_count", "dapr_http_server_latency"],
        "Requests of the HTTP API",
        &["method", "path", "status"],
    ),
    of_api(
        ["dapr_grpc_io_server_completed_rpcs", "dapr_grpc_io_server_server_latency"],
        "Calls of the gRPC API",
        &["grpc_server_method", "grpc_server_status"],
    ),
    of_component(
        ["dapr_component_state_count", "dapr_component_state_latencies"],
        "Calls of state stores",
        ASKED,
    ),
    of_component(
        ["dapr_component_secret_count", "dapr_component_secret_latencies"],
        "Calls of secret stores",
        ASKED,
    ),
    of_component(
        ["dapr_component_configuration_count", "dapr_component_configuration_latencies"],
        "Calls of configuration stores",
        ASKED,
    ),
    of_component(
        ["dapr_component_conversation_count", "dapr_component_conversation_latencies"],
        "Calls of conversation components",
        TOOK,
    ),
    of_component(
        ["dapr_component_crypto_count", "dapr_component_crypto_latencies"],
        "Calls of key vaults",
        ASKED,
    ),
    of_component(
        ["mainstay_component_lock_count", "mainstay_component_lock_latencies"],
        "Calls of lock stores",
        ASKED,
    ),
    of_component(
        ["dapr_component_output_binding_count", "dapr_component_output_binding_latencies"],
        "Operations of bindings",
        ASKED,
    ),
    of_component(
        ["dapr_component_pubsub_egress_count", "dapr_component_pubsub_egress_latencies"],
        "Messages published",
        &["component", "success", "topic"],
    ),
    of_component(
        ["dapr_component_pubsub_ingress_count", "dapr_component_pubsub_ingress_latencies"],
        "Messages delivered to the app",
        &["component", "topic", "process_status"],
    ),
    of_component(
        ["dapr_component_input_binding_count", "dapr_component_input_binding_latencies"],
        "Events of bindings that the app was told of",
        TOOK,
    ),
];

/// The codes of calls as the original writes them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Where a report belongs: its family and the values of its labels, as many as it has.
fn place<'a>(done: Done<'a>, digits: &'a mut [u8; 3]) -> (usize, [&'a str; LABELS]) {
    let text = |is: bool| if is { "true" } else { "false" };
    match done {
        Done::Request { route, method, status } => {
            (0, [method_text(method), route, status_text(status, digits)])
        }
        Done::Call { method, code } => {
            (1, [method, CODES.get(usize::from(code)).copied().unwrap_or("Unknown"), ""])
        }
        Done::Component { block: Block::Conversation, component, success, .. } => {
            (5, [component, text(success), ""])
        }
        Done::Component { block, component, operation, success } => {
            let family = match block {
                Block::State => 2,
                Block::Secret => 3,
                Block::Configuration => 4,
                Block::Conversation => 5,
                Block::Crypto => 6,
                Block::Lock => 7,
                Block::OutputBinding => 8,
            };
            (family, [component, operation, text(success)])
        }
        Done::Published { component, topic, success } => (9, [component, text(success), topic]),
        Done::Delivered { component, topic, outcome } => (10, [component, topic, outcome]),
        Done::Told { component, success } => (11, [component, text(success), ""]),
    }
}

/// The numbers of one set of labels.
struct Series {
    family: usize,
    values: [Box<str>; LABELS],
    /// By bound; the last is what took longer than all of them.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Series {
    fn new(family: usize, values: [&str; LABELS]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { family, values: values.map(Into::into), counts, sum_us: AtomicU64::new(0) }
    }

    fn is(&self, family: usize, values: [&str; LABELS]) -> bool {
        self.family == family && self.values.iter().zip(values).all(|(own, asked)| **own == *asked)
    }

    fn record(&self, elapsed: Duration) {
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS_US.partition_point(|bound| *bound < us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

type Known = HashMap<u64, Vec<Arc<Series>>, Hashed>;

/// The metrics of one runtime beside an app.
pub struct Beside {
    /// The labels that all have, and those of components, as they are written.
    all: String,
    components: String,
    known: ArcSwap<Known>,
    /// Held by whoever adds a series.
    adding: Mutex<()>,
    hasher: RandomState,
    process: Registry,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beside")
    }
}

impl Beside {
    /// The metrics of an app's runtime, and those of this process.
    #[must_use]
    pub fn new(app: &str, namespace: &str) -> Self {
        let all = format!("app_id=\"{}\"", escaped(app));
        let components = format!("{all},namespace=\"{}\"", escaped(namespace));
        let mut process = Registry::default();
        process.register_collector(Box::new(Process));
        Self {
            all,
            components,
            known: ArcSwap::default(),
            adding: Mutex::default(),
            hasher: RandomState::new(),
            process,
        }
    }

    fn hash(&self, family: usize, values: [&str; LABELS]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_usize(family);
        for value in values {
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    /// The series of these values, which is new, or was a moment ago.
    fn add(&self, family: usize, values: [&str; LABELS]) -> Arc<Series> {
        let _adding = self.adding.lock();
        let known = self.known.load_full();
        let is_full = known.len() >= SERIES_MAX;
        let values = if is_full { ["other"; LABELS] } else { values };
        let hash = self.hash(family, values);
        if let Some(series) = find(&known, hash, family, values) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(family, values));
        let mut more = Known::clone(&known);
        more.entry(hash).or_default().push(Arc::clone(&series));
        self.known.store(Arc::new(more));
        series
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let known = self.known.load_full();
        let mut all: Vec<&Arc<Series>> = known.values().flatten().collect();
        all.sort_unstable_by(|a, b| (a.family, &a.values).cmp(&(b.family, &b.values)));
        for of_one in all.chunk_by(|a, b| a.family == b.family) {
            let family = &FAMILIES[of_one[0].family];
            let ([count, took], about) = (family.names, family.about);
            writeln!(out, "# HELP {count} {about}.\n# TYPE {count} counter")?;
            for series in of_one {
                let total: u64 = series.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
                writeln!(out, "{count}{{{}}} {total}", self.labels(family, series))?;
            }
            writeln!(out, "# HELP {took} {about}: how long, in milliseconds.\n# TYPE {took} histogram")?;
            for series in of_one {
                histogram(out, took, &self.labels(family, series), series)?;
            }
        }
        Ok(())
    }

    fn labels(&self, family: &Family, series: &Series) -> String {
        let mut text = if family.of_component { self.components.clone() } else { self.all.clone() };
        for (name, value) in family.labels.iter().zip(&series.values) {
            let value = escaped(value);
            // Two names for the same in the original.
            let also = if *name == "process_status" { format!(",status=\"{value}\"") } else { String::new() };
            text.push_str(&format!(",{name}=\"{value}\"{also}"));
        }
        text
    }
}

fn find<'a>(known: &'a Known, hash: u64, family: usize, values: [&str; LABELS]) -> Option<&'a Arc<Series>> {
    known.get(&hash)?.iter().find(|series| series.is(family, values))
}

fn histogram(out: &mut String, name: &str, labels: &str, series: &Series) -> std::fmt::Result {
    let mut sum = 0;
    for (at, count) in series.counts.iter().enumerate() {
        sum += count.load(Ordering::Relaxed);
        match BOUNDS_US.get(at) {
            Some(bound) => {
                let ms = Duration::from_micros(*bound).as_secs_f64() * 1_000.0;
                writeln!(out, "{name}_bucket{{{labels},le=\"{ms}\"}} {sum}")?;
            }
            None => writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {sum}")?,
        }
    }
    let ms = Duration::from_micros(series.sum_us.load(Ordering::Relaxed)).as_secs_f64() * 1_000.0;
    writeln!(out, "{name}_sum{{{labels}}} {ms}\n{name}_count{{{labels}}} {sum}")
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Meter for Beside {
    fn took(&self, done: Done<'_>, elapsed: Duration) {
        let mut digits = [0; 3];
        let (family, values) = place(done, &mut digits);
        let hash = self.hash(family, values);
        if let Some(series) = find(&self.known.load(), hash, family, values) {
            series.record(elapsed);
            return;
        }
        self.add(family, values).record(elapsed);
    }

    fn scrape(&self) -> (&'static str, String) {
        let mut process = String::new();
        prometheus_client::encoding::text::encode(&mut process, &self.process)
            .expect("writing to a string does not fail");
        let mut text = exposition::classic(&process);
        self.write(&mut text).expect("writing to a string does not fail");
        (exposition::CONTENT_TYPE, text)
    }
}

#[cfg(test)]
mod tests;
