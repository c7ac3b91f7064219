//! The life of a sidecar and its app: the sidecar serves, the app starts, both run, and they end together.
//!
//! ```text
//!   sidecar up ──► app started ──► app listens, deliveries ──► (a signal, the app's end, a call of `shutdown`)
//!   ──► nothing new is delivered ──► the app is asked to end, while the APIs are there ──► APIs end
//! ```

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use mainstay_app::beside::{Beside, Command};
use mainstay_core::Clock as _;
use mainstay_net::clock::SystemClock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::plan::AppPlan;
use super::record::{self, Kept, Record};
use super::voice::{self, Voice};
use crate::exit;
use crate::sidecar::running::{Ports, Sidecar};
use crate::wire::sidecar::Inside;

/// After this time it is said that the app does not listen at its port.
const PATIENCE: Duration = Duration::from_secs(10);

/// A sidecar and its app, to be run.
pub(super) struct Pair {
    pub(super) app: AppPlan,
    /// The run file; `None` for one that the command line names.
    pub(super) file: Option<String>,
    pub(super) inside: Inside,
    pub(super) stop: CancellationToken,
    pub(super) voice: Voice,
}

/// Why a pair ends.
enum End {
    /// It is told to.
    Told,
    /// The app asks for it.
    Asked,
    /// The app has ended.
    Ended(std::io::Result<ExitStatus>),
}

impl Pair {
    /// Runs until it is told to stop or the app ends. The code is the app's; 0 where it was told. Errors: what keeps
    /// the sidecar or the app from starting.
    pub(super) async fn live(self, told: oneshot::Sender<()>) -> anyhow::Result<u8> {
        let is_alone = self.file.is_none();
        let sidecar = tokio::select! {
            started = Sidecar::start(self.app.options.clone(), &self.inside, is_alone) => started?,
            () = self.stop.cancelled() => return Ok(exit::OK),
        };
        sidecar.announce();
        let ports = sidecar.ports;
        let id = &self.app.options.app_id;
        let line =
            format!("Starting Dapr with id {id}. HTTP Port: {}. gRPC Port: {}", ports.http, ports.grpc);
        self.voice.of_sidecar(&format!("ℹ️  {line}"));
        let mut app = match self.start_app(ports).await {
            Ok(app) => app,
            Err(error) => {
                sidecar.close().await;
                return Err(error);
            }
        };
        let _kept = self.introduce(&sidecar, app.as_ref()).await;
        if !is_alone {
            let line = format!(
                "Started Dapr with app id \"{id}\". HTTP Port: {}. gRPC Port: {}",
                ports.http, ports.grpc
            );
            voice::inform(&line);
            if let Some(folder) = self.voice.folder() {
                voice::inform(&format!("Writing log files to directory : {folder}"));
            }
        }
        // Nobody listens any more when all of them are told to stop.
        let _ = told.send(());
        let end = self.run(&sidecar, app.as_mut()).await;
        let code = self.told_end(&end);
        drop(app);
        sidecar.close().await;
        self.voice.of_sidecar(&voice::good("Exited Dapr successfully"));
        self.voice.finish();
        Ok(code)
    }

    /// From the app's start to its end. The sidecar's APIs are still there afterwards.
    async fn run(&self, sidecar: &Sidecar, mut app: Option<&mut Beside>) -> End {
        let leave = CancellationToken::new();
        let has_app = app.is_some();
        let at_work = async {
            self.attend(sidecar, &leave, has_app).await;
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            () = at_work => End::Told,
            () = self.stop.cancelled() => End::Told,
            () = sidecar.asked_to_stop() => End::Asked,
            ended = ended(app.as_deref_mut()) => End::Ended(ended),
        };
        if !matches!(end, End::Ended(_)) {
            self.voice.of_sidecar("ℹ️  \nterminated signal received: shutting down");
        }
        if matches!(end, End::Told) {
            tokio::select! {
                () = sidecar.linger(&leave) => {}
                () = sidecar.asked_to_stop() => {}
            }
        }
        sidecar.drain(&leave).await;
        if let (End::Told | End::Asked, Some(app)) = (&end, app) {
            app.stop(self.app.options.grace).await;
        }
        end
    }

    /// Waits for the app and lets the sidecar deliver; says so, and says when the app is late.
    async fn attend(&self, sidecar: &Sidecar, leave: &CancellationToken, has_app: bool) {
        let mut ready = std::pin::pin!(sidecar.attend(leave));
        if tokio::time::timeout(PATIENCE, &mut ready).await.is_err() {
            self.voice.warn(&format!(
                "the app `{}` does not listen at port {} yet: nothing is delivered to it. Does it listen at $APP_PORT?",
                self.app.options.app_id, self.app.app_port
            ));
            ready.await;
        }
        let whose = if has_app && self.file.is_none() { "Both Dapr and your app" } else { "Dapr" };
        let line = format!("You're up and running! {whose} logs will appear here.\n");
        self.voice.of_sidecar(&voice::good(&line));
    }

    async fn start_app(&self, ports: Ports) -> anyhow::Result<Option<Beside>> {
        let app = &self.app;
        if app.command.is_empty() {
            self.voice.of_sidecar("⚠️  WARNING: no application command found.");
            return Ok(None);
        }
        let command = Command {
            app: app.options.app_id.clone(),
            words: app.command.clone(),
            folder: app.folder.clone(),
            env: app.environment(ports),
            withheld: std::collections::BTreeSet::new(),
        };
        let started = Beside::start(command, &self.voice.sink()).await;
        Ok(Some(started.map_err(|error| {
            anyhow::Error::from(error).context(format!(
                "start the app `{}` in `{}`",
                app.options.app_id,
                app.folder.display()
            ))
        })?))
    }

    /// Says among the metadata, and to the other programs on this host, who runs.
    async fn introduce(&self, sidecar: &Sidecar, app: Option<&Beside>) -> Option<Kept> {
        let (app_log, sidecar_log) = self.voice.paths();
        let record = Record {
            app_id: self.app.options.app_id.clone(),
            http_port: sidecar.ports.http,
            grpc_port: sidecar.ports.grpc,
            app_port: self.app.app_port,
            command: self.app.command.join(" "),
            started: SystemClock.now_ms() / 1_000,
            pid: std::process::id(),
            app_pid: app.and_then(Beside::id).unwrap_or_default(),
            run_file: self.file.clone().unwrap_or_default(),
            app_log,
            sidecar_log,
        };
        let notes = [
            ("cliPID", record.pid.to_string()),
            ("appPID", if record.app_pid == 0 { String::new() } else { record.app_pid.to_string() }),
            ("appCommand", record.command.clone()),
            ("runTemplatePath", record.run_file.clone()),
            ("appLogPath", record.app_log.clone()),
            ("daprdLogPath", record.sidecar_log.clone()),
        ];
        for (name, value) in notes.into_iter().filter(|(_, value)| !value.is_empty()) {
            sidecar.note(name, value).await;
        }
        let kept = record::keep(&record);
        kept.inspect_err(|error| tracing::warn!(%error, "`mainstay list` and `stop` do not see this app"))
            .ok()
    }

    /// Says how the app ended, and gives the code for it.
    fn told_end(&self, end: &End) -> u8 {
        let status = match end {
            End::Told | End::Asked => {
                if !self.app.command.is_empty() {
                    self.voice.of_app(&voice::good("Exited App successfully"));
                }
                return exit::OK;
            }
            End::Ended(status) => status,
        };
        let (code, line) = match status {
            Ok(status) if status.success() => (exit::OK, voice::good("Exited App successfully")),
            Ok(status) => {
                let why = match status.code() {
                    Some(127) => format!("exit status 127: is there a program `{}`?", self.app.command[0]),
                    Some(code) => format!("exit status {code}"),
                    None => format!("signal {}", status.signal().unwrap_or_default()),
                };
                (code_of(*status), voice::bad(&format!("The App process exited with error code: {why}")))
            }
            Err(error) => (exit::BUG, voice::bad(&format!("The App process was lost: {error}"))),
        };
        self.voice.of_app(&line);
        code
    }
}

/// Waits for the app's end; for ever if there is no app.
async fn ended(app: Option<&mut Beside>) -> std::io::Result<ExitStatus> {
    match app {
        Some(app) => app.ended().await,
        None => std::future::pending().await,
    }
}

/// The code to end with, as shells have it: the app's own, or 128 and its signal.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(exit::FAILED)
}
