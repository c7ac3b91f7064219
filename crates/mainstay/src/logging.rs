//! Logs to standard error: plain on a terminal, JSON lines for machines. Prompts and secrets never get this far.

use tracing_subscriber::EnvFilter;

use crate::environment;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `MAINSTAY_LOG` filters; the default is `info`, quiet for libraries.
pub(crate) fn start(format: Format) {
    let directives = environment::log_filter().unwrap_or_else(|| "info,hyper=warn,reqwest=warn".to_owned());
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests) keeps the first subscriber.
    let _ = match format {
        Format::Text => builder.with_target(false).compact().try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
