//! Logs to standard error: plain on a terminal, JSON lines for machines. Prompts and secrets never get this far. Whoever
//! logs waits for nobody: `terminal.rs`.

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

/// Starts logging, and with it the streams' threads. `MAINSTAY_LOG` filters; the default is `info`, quiet for libraries.
pub(crate) fn start(format: Format) {
    let directives = environment::log_filter().unwrap_or_else(|| "info,hyper=warn,reqwest=warn".to_owned());
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let coloured = terminal::coloured(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| terminal::Logs);
    terminal::open(match format {
        Format::Text => terminal::lines_dropped,
        Format::Json => lines_dropped_json,
    });
    // A second start (in tests) keeps the first subscriber.
    let _ = match format {
        Format::Text => builder.with_target(false).with_ansi(coloured).compact().try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

fn lines_dropped_json(lines: u64) -> String {
    let message = terminal::lines_dropped(lines);
    serde_json::json!({ "level": "WARN", "message": message, "lines": lines }).to_string()
}
