//! Logs to standard error: plain on a terminal, JSON lines for machines. Prompts and secrets never get this far.
//! Whoever logs waits for nobody: `terminal.rs`.

use std::sync::OnceLock;

use mainstay_app::{Line, Source};
use tracing_subscriber::EnvFilter;

use crate::{environment, terminal};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is being logged in, once it is.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// Whether whoever reads the log is a machine.
pub(crate) fn for_machines() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// Shows a line of an app: to people after its name, to machines as a line of the log.
pub(crate) fn app_line(line: Line<'_>) {
    if !for_machines() {
        return terminal::app_line(line);
    }
    let stream = match line.source {
        Source::Stdout => "stdout",
        Source::Stderr => "stderr",
    };
    tracing::info!(target: "app", app = line.app, stream, line = line.text);
}

/// Starts logging, and with it the streams' threads. `MAINSTAY_LOG` filters; the default is `info`, quiet for
/// libraries.
pub(crate) fn start(format: Format) {
    start_at(format, None, true);
}

/// The same from a level on, where `MAINSTAY_LOG` says nothing. `to_terminal` is false where lines may go to files,
/// which have no colours.
pub(crate) fn start_at(format: Format, level: Option<&str>, to_terminal: bool) {
    let level = match level.unwrap_or("info") {
        "fatal" => "error",
        level => level,
    };
    // What Kafka's client warns of it tries again, and what stays wrong is told by whoever called it.
    let quiet = "hyper=warn,reqwest=warn,krafka=error";
    let directives = environment::log_filter().unwrap_or_else(|| format!("{level},{quiet}"));
    // What an app says is no event of ours: a filter of ours must say so to silence it.
    let directives = format!("app=info,{directives}");
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start (in tests) keeps the first.
    let _ = FORMAT.set(format);
    let coloured = to_terminal && terminal::coloured(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| terminal::Logs);
    terminal::open(match format {
        Format::Text => terminal::lines_dropped,
        Format::Json => lines_dropped_json,
    });
    let _ = match format {
        Format::Text => builder.with_target(false).with_ansi(coloured).compact().try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

fn lines_dropped_json(lines: u64) -> String {
    let message = terminal::lines_dropped(lines);
    serde_json::json!({ "level": "WARN", "message": message, "lines": lines }).to_string()
}
