//! What a run says: its own lines in the words of `dapr run`, which scripts wait for, and the apps' lines behind their
//! prefix; to the terminal, to files beside the app, or to both.

use std::sync::Arc;

use mainstay_app::Sink;
use mainstay_config::resources::Destination;

use super::plan::AppPlan;
use crate::terminal::{self, LogFile, LogPlace};

/// Where logs are kept, in the app's folder.
const LOGS: &str = ".dapr/logs";

/// The voices of a sidecar and its app.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    prefix: String,
    app: Outlets,
    sidecar: Outlets,
}

#[derive(Clone, Debug)]
struct Outlets {
    file: Option<Arc<LogFile>>,
    console: bool,
}

impl Outlets {
    fn of(app: &AppPlan, destination: Destination, name: &str) -> std::io::Result<Self> {
        let file = match destination {
            Destination::Console => None,
            Destination::File | Destination::Both => {
                Some(Arc::new(LogFile::create(&app.folder.join(LOGS), name)?))
            }
        };
        Ok(Self { file, console: destination != Destination::File })
    }

    fn say(&self, text: &str) {
        if let Some(file) = &self.file {
            file.say(text.as_bytes());
        }
        if self.console {
            terminal::print(text);
        }
    }

    fn path(&self) -> String {
        self.file.as_ref().map(|file| file.path.display().to_string()).unwrap_or_default()
    }
}

impl Voice {
    /// Opens what the app's lines and the sidecar's go to. Errors: a file that cannot be made.
    pub(super) fn of(app: &AppPlan, is_alone: bool) -> std::io::Result<Self> {
        let prefix =
            if is_alone { "== APP == ".to_owned() } else { format!("== APP - {} == ", app.options.app_id) };
        Ok(Self {
            prefix,
            app: Outlets::of(app, app.app_log, "app")?,
            sidecar: Outlets::of(app, app.sidecar_log, "daprd")?,
        })
    }

    /// Where the sidecar's log goes; `None` for standard error.
    pub(super) fn log_place(&self) -> Option<LogPlace> {
        let console = self.sidecar.console;
        self.sidecar.file.clone().map(|file| LogPlace { file, console })
    }

    /// Takes the app's lines. Both of its streams come out on standard output, as scripts that read them expect.
    pub(super) fn sink(&self) -> Sink {
        let (prefix, app) = (self.prefix.clone(), self.app.clone());
        Arc::new(move |line| app.say(&format!("{prefix}{}\n", line.text)))
    }

    /// Says a line of the app's life among the app's own.
    pub(super) fn of_app(&self, line: &str) {
        self.app.say(&format!("{line}\n"));
    }

    /// Says a line of the sidecar's life.
    pub(super) fn of_sidecar(&self, line: &str) {
        self.sidecar.say(&format!("{line}\n"));
    }

    /// Says on the terminal what must not be overlooked in a file.
    pub(super) fn warn(&self, text: &str) {
        tracing::warn!("{text}");
        if !self.sidecar.console {
            terminal::complain(&format!("⚠️  {text}\n"));
        }
    }

    /// The folder of the log files, if there are any.
    pub(super) fn folder(&self) -> Option<String> {
        let file = self.app.file.as_ref().or(self.sidecar.file.as_ref())?;
        file.path.parent().map(|folder| folder.display().to_string())
    }

    /// The paths of the app's log and the sidecar's; empty where there is none.
    pub(super) fn paths(&self) -> (String, String) {
        (self.app.path(), self.sidecar.path())
    }

    /// Waits for the last lines to be written to the files.
    pub(super) fn finish(&self) {
        for file in [&self.app.file, &self.sidecar.file].into_iter().flatten() {
            file.finish();
        }
    }
}

/// Says a line to the terminal.
pub(super) fn inform(line: &str) {
    terminal::print(&format!("ℹ️  {line}\n"));
}

/// A good thing, as a line.
pub(super) fn good(line: &str) -> String {
    format!("✅  {line}")
}

/// A bad thing, as a line.
pub(super) fn bad(line: &str) -> String {
    format!("❌  {line}")
}
