//! ★ What the dashboard shows, row by row. To add a panel: a line in one of the rows.

use mainstay_core::metric;

use crate::promql::{Scope, over, sum};
use crate::targets::alerts::{budget, work};
use crate::workload::Workload;

/// A row of panels under a title.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// A panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// As Grafana calls units.
    pub(super) unit: &'static str,
    pub(super) style: Style,
    /// Columns.
    pub(super) width: u32,
    /// Queries, each with what its series are called.
    pub(super) queries: Vec<(String, &'static str)>,
}

/// How figures are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A line a series.
    Lines,
    /// Series on top of each other.
    Stacked,
    /// The last value.
    Number,
}

use Style::{Lines, Number, Stacked};

/// As many samples as a rate needs at the zoom that is looked at.
const WINDOW: &str = "$__rate_interval";

type Query = (String, &'static str);

fn panel(
    (title, about): (&'static str, &'static str),
    (style, unit, width): (Style, &'static str, u32),
    queries: impl Into<Vec<Query>>,
) -> Panel {
    Panel { title, about, unit, style, width, queries: queries.into() }
}

/// The rows.
pub(super) fn rows(workload: &Workload) -> Vec<Row> {
    let s = Scope::on_board(workload);
    vec![
        Row { title: "Requests", panels: requests(&s, workload) },
        Row { title: "Models", panels: models(&s) },
        Row { title: "Runs", panels: runs(&s) },
        Row { title: "Tools", panels: tools(&s) },
        Row { title: "Service", panels: service(&s) },
        Row { title: "Process", panels: process(&s, workload) },
    ]
}

fn requests(s: &Scope, workload: &Workload) -> Vec<Panel> {
    let took = |percent| s.quantile(percent, &metric::REQUEST_SECONDS, &[], WINDOW);
    let failures = s.rate(&metric::REQUESTS, "code=~\"5..\"", WINDOW);
    vec![
        panel(
            ("Requests", "By route, probes left out"),
            (Stacked, "reqps", 8),
            [(budget::requests(s, &["route"], WINDOW), "{{route}}")],
        ),
        panel(
            ("Failures", "Share of requests that the service failed"),
            (Lines, "percentunit", 8),
            [(budget::failed(s, WINDOW), "{{namespace}}")],
        ),
        panel(
            ("Failures by route", "Statuses from 500 on"),
            (Stacked, "reqps", 8),
            [(sum(&["route", "code"], &failures), "{{route}} {{code}}")],
        ),
        panel(
            ("Time to answer", "First byte in to last byte out, streams among them"),
            (Lines, "s", 8),
            [(took(50), "50 %"), (took(95), "95 %"), (took(99), "99 %")],
        ),
        panel(
            ("In flight", "Requests of each replica, and what it is meant for"),
            (Lines, "short", 8),
            [
                (s.series(&metric::IN_FLIGHT, ""), "{{instance}}"),
                (
                    format!("0 * max({}) + {}", s.series(&metric::IN_FLIGHT, ""), workload.sizing.in_flight),
                    "meant for",
                ),
            ],
        ),
        panel(
            ("Refused", "Before work, by reason"),
            (Stacked, "reqps", 8),
            [(sum(&["reason"], &s.rate(&metric::SHED, "", WINDOW)), "{{reason}}")],
        ),
    ]
}

fn models(s: &Scope) -> Vec<Panel> {
    let of = ["model", "provider"];
    let calls = |matchers: &str| s.rate(&metric::MODEL_CALLS, matchers, WINDOW);
    let answered = format!("outcome=\"{}\"", metric::OUTCOME_OK);
    vec![
        panel(
            ("Model calls", "By model and outcome"),
            (Stacked, "reqps", 8),
            [(sum(&["model", "outcome"], &calls("")), "{{model}} {{outcome}}")],
        ),
        panel(
            ("Failures of providers", "Calls that failed for another reason than the request itself"),
            (Stacked, "reqps", 8),
            [(sum(&["provider", "outcome"], &calls(&work::no_failures())), "{{provider}} {{outcome}}")],
        ),
        panel(
            ("Answers by provider", "A model that falls over is answered by another provider than its first"),
            (Stacked, "reqps", 8),
            [(sum(&of, &calls(&answered)), "{{model}} at {{provider}}")],
        ),
        panel(
            ("Model calls, 95 %", "Whole"),
            (Lines, "s", 8),
            [(s.quantile(95, &metric::MODEL_SECONDS, &of, WINDOW), "{{model}} at {{provider}}")],
        ),
        panel(
            ("First byte, 95 %", "Until the provider begins to answer"),
            (Lines, "s", 8),
            [(s.quantile(95, &metric::FIRST_BYTE_SECONDS, &of, WINDOW), "{{model}} at {{provider}}")],
        ),
        panel(
            ("Tokens", "Each second, by class"),
            (Stacked, "short", 8),
            [(sum(&["type"], &s.rate(&metric::TOKENS, "", WINDOW)), "{{type}}")],
        ),
        panel(
            ("Tokens by model", "Within an hour"),
            (Stacked, "short", 24),
            [(sum(&["model"], &s.increase(&metric::TOKENS, "", "1h")), "{{model}}")],
        ),
    ]
}

fn runs(s: &Scope) -> Vec<Panel> {
    let steps = sum(&["agent"], &s.rate(&metric::RUN_STEPS, "", WINDOW));
    let ended = sum(&["agent"], &s.rate(&metric::RUNS, "", WINDOW));
    vec![
        panel(
            ("Runs", "By agent and status"),
            (Stacked, "reqps", 6),
            [(sum(&["agent", "status"], &s.rate(&metric::RUNS, "", WINDOW)), "{{agent}} {{status}}")],
        ),
        panel(
            ("Runs, 95 %", "Creation to end"),
            (Lines, "s", 6),
            [(s.quantile(95, &metric::RUN_SECONDS, &["agent"], WINDOW), "{{agent}}")],
        ),
        panel(
            ("Runs at work", "And those that wait for their session"),
            (Lines, "short", 6),
            [
                (sum(&[], &s.series(&metric::RUNS_ACTIVE, "")), "at work"),
                (sum(&[], &s.series(&metric::RUNS_QUEUED, "")), "waiting"),
            ],
        ),
        panel(
            ("Steps of a run", "Model calls, mean"),
            (Lines, "short", 6),
            [(format!("{steps} / {ended}"), "{{agent}}")],
        ),
    ]
}

fn tools(s: &Scope) -> Vec<Panel> {
    vec![
        panel(
            ("Tool calls", "By tool and outcome"),
            (Stacked, "reqps", 12),
            [(sum(&["tool", "outcome"], &s.rate(&metric::TOOL_CALLS, "", WINDOW)), "{{tool}} {{outcome}}")],
        ),
        panel(
            ("Tool calls, 95 %", "Whole"),
            (Lines, "s", 12),
            [(s.quantile(95, &metric::TOOL_SECONDS, &["tool"], WINDOW), "{{tool}}")],
        ),
    ]
}

fn service(s: &Scope) -> Vec<Panel> {
    vec![
        panel(
            ("Ready", "Replicas that take work"),
            (Number, "short", 4),
            [(sum(&[], &s.series(&metric::READY, "")), "{{namespace}}")],
        ),
        panel(
            ("Versions", "Replicas of each"),
            (Number, "short", 4),
            [(sum(&["version"], &s.series(&metric::BUILD, "")), "{{version}}")],
        ),
        panel(
            ("What readiness rests on", "1 where it works on every replica"),
            (Lines, "short", 8),
            [(over("min", &["dependency"], &s.series(&metric::DEPENDENCY_READY, "")), "{{dependency}}")],
        ),
        panel(
            ("Streams", "Open, of each replica"),
            (Stacked, "short", 8),
            [(s.series(&metric::STREAMS_OPEN, ""), "{{instance}}")],
        ),
    ]
}

fn process(s: &Scope, workload: &Workload) -> Vec<Panel> {
    let memory = s.series(&metric::PROCESS_MEMORY, "");
    vec![
        panel(
            ("Memory", "Resident, apps not counted, and what a replica gets"),
            (Lines, "bytes", 6),
            [
                (memory.clone(), "{{instance}}"),
                (format!("0 * max({memory}) + {}", workload.sizing.memory_bytes), "what it gets"),
            ],
        ),
        panel(
            ("Processor", "Cores"),
            (Lines, "short", 6),
            [(s.rate(&metric::PROCESS_CPU, "", WINDOW), "{{instance}}")],
        ),
        panel(
            ("Descriptors", "Open"),
            (Lines, "short", 6),
            [(s.series(&metric::PROCESS_DESCRIPTORS, ""), "{{instance}}")],
        ),
        panel(
            ("Age", "Since the process started"),
            (Lines, "s", 6),
            [(format!("time() - {}", s.series(&metric::PROCESS_START, "")), "{{instance}}")],
        ),
    ]
}
