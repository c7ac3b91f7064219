//! What the service measures, by name: what shows the figures and what is written to ask for them (alerts, dashboards,
//! autoscalers) take the names from here, so that a rename reaches all of them or does not compile.
//!
//! A runtime beside an app shows others, under names that are not ours to choose.

/// A family of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name as it is shown, e.g. `mainstay_requests_total`; of a distribution, without the endings of its parts.
    pub name: &'static str,
    /// What it counts, in a few words.
    pub about: &'static str,
    /// How it moves.
    pub form: Form,
    /// Its labels, in the order of their values.
    pub labels: &'static [&'static str],
}

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It only grows, until the process ends.
    Count,
    /// It goes up and down.
    Level,
    /// Durations in seconds, by bounds: shown as `_bucket`, `_sum` and `_count`.
    Durations,
}

/// What the names of our own begin with.
pub const PREFIX: &str = "mainstay";
/// What the names of counts end in.
const COUNT_ENDING: &str = "_total";

impl Metric {
    /// The name without our prefix and without the ending of counts: as a registry takes it that adds both.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let own = self.name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_'));
        let name = own.unwrap_or(self.name);
        name.strip_suffix(COUNT_ENDING).unwrap_or(name)
    }
}

const fn count(name: &'static str, about: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, about, form: Form::Count, labels }
}

const fn level(name: &'static str, about: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, about, form: Form::Level, labels }
}

const fn durations(name: &'static str, about: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, about, form: Form::Durations, labels }
}

const CALL: &[&str] = &["model", "provider"];

/// The build.
pub const BUILD: Metric = level("mainstay_build_info", "1, labelled with the build", &["version"]);
/// Requests.
pub const REQUESTS: Metric =
    count("mainstay_requests_total", "Requests answered", &["route", "method", "code"]);
/// How long they took.
pub const REQUEST_SECONDS: Metric =
    durations("mainstay_request_duration_seconds", "First byte in to last byte out", &["route"]);
/// Model calls, each at one provider.
pub const MODEL_CALLS: Metric =
    count("mainstay_model_calls_total", "Model calls ended", &["model", "provider", "outcome"]);
/// How long they took.
pub const MODEL_SECONDS: Metric = durations("mainstay_model_duration_seconds", "Model calls, whole", CALL);
/// How long a provider was silent first.
pub const FIRST_BYTE_SECONDS: Metric =
    durations("mainstay_ttft_seconds", "Until the provider's first byte", CALL);
/// Tokens.
pub const TOKENS: Metric = count("mainstay_tokens_total", "Tokens by class", &["model", "provider", "type"]);
/// Runs.
pub const RUNS: Metric = count("mainstay_runs_total", "Runs ended", &["agent", "status"]);
/// How long they took.
pub const RUN_SECONDS: Metric = durations("mainstay_run_duration_seconds", "Creation to end", &["agent"]);
/// Steps of runs.
pub const RUN_STEPS: Metric = count("mainstay_run_steps_total", "Model calls made by runs", &["agent"]);
/// Tool calls.
pub const TOOL_CALLS: Metric = count("mainstay_tool_calls_total", "Tool calls ended", &["tool", "outcome"]);
/// How long they took.
pub const TOOL_SECONDS: Metric = durations("mainstay_tool_duration_seconds", "Tool calls", &["tool"]);
/// Requests refused.
pub const SHED: Metric = count("mainstay_shed_total", "Requests refused before work", &["reason"]);
/// Requests in flight.
pub const IN_FLIGHT: Metric = level("mainstay_requests_in_flight", "Requests in flight", &[]);
/// Runs at work.
pub const RUNS_ACTIVE: Metric = level("mainstay_runs_active", "Runs at work", &[]);
/// Runs that wait.
pub const RUNS_QUEUED: Metric = level("mainstay_runs_queued", "Runs waiting for their session", &[]);
/// Readiness.
pub const READY: Metric = level("mainstay_ready", "1 when ready, else 0", &[]);
/// Open streams.
pub const STREAMS_OPEN: Metric = level("mainstay_streams_open", "Event streams open", &[]);
/// What readiness rests on.
pub const DEPENDENCY_READY: Metric =
    level("mainstay_dependency_ready", "1 when what readiness rests on works, else 0", &["dependency"]);
/// Memory of the process.
pub const PROCESS_MEMORY: Metric = level("process_resident_memory_bytes", "Resident memory", &[]);
/// Descriptors of the process.
pub const PROCESS_DESCRIPTORS: Metric = level("process_open_fds", "Open file descriptors", &[]);
/// Processor time of the process.
pub const PROCESS_CPU: Metric = count("process_cpu_seconds_total", "CPU time, user and system", &[]);
/// When the process started.
pub const PROCESS_START: Metric = level("process_start_time_seconds", "Start, seconds since the epoch", &[]);

/// Every one.
pub static ALL: [Metric; 23] = [
    BUILD,
    REQUESTS,
    REQUEST_SECONDS,
    MODEL_CALLS,
    MODEL_SECONDS,
    FIRST_BYTE_SECONDS,
    TOKENS,
    RUNS,
    RUN_SECONDS,
    RUN_STEPS,
    TOOL_CALLS,
    TOOL_SECONDS,
    SHED,
    IN_FLIGHT,
    RUNS_ACTIVE,
    RUNS_QUEUED,
    READY,
    STREAMS_OPEN,
    DEPENDENCY_READY,
    PROCESS_MEMORY,
    PROCESS_DESCRIPTORS,
    PROCESS_CPU,
    PROCESS_START,
];

/// The outcome of a call that went well.
pub const OUTCOME_OK: &str = "ok";
/// The outcome of a model call whose caller went away.
pub const OUTCOME_CLIENT_CLOSED: &str = "client_closed";
/// Why a request was refused: too many are in flight.
pub const SHED_OVERLOAD: &str = "overload";
/// The dependency that is the record of runs.
pub const DEPENDENCY_JOURNAL: &str = "journal";
/// How a dependency is called that is an agent's app: this, and the agent's name.
pub const DEPENDENCY_APP: &str = "app ";
/// How a dependency is called that is a tool's server: this, and the tool's name.
pub const DEPENDENCY_TOOL: &str = "tool ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_own_and_say_how_they_move() {
        for (at, metric) in ALL.iter().enumerate() {
            assert!(
                ALL[..at].iter().all(|other| other.name != metric.name),
                "{} is there twice",
                metric.name
            );
            assert_eq!(metric.name.ends_with(COUNT_ENDING), metric.form == Form::Count, "{}", metric.name);
            assert!(metric.form != Form::Durations || metric.name.ends_with("_seconds"), "{}", metric.name);
        }
    }

    #[test]
    fn a_stem_has_neither_prefix_nor_ending() {
        assert_eq!(
            [REQUESTS.stem(), READY.stem(), PROCESS_CPU.stem()],
            ["requests", "ready", "process_cpu_seconds"]
        );
    }
}
