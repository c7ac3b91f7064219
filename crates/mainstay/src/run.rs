//! Apps and their sidecars, as `dapr run` starts them: several in one process, each sidecar with threads and a log of
//! its own, each app a process group of its own.
//!
//! One process, so that apps of one file share the stores inside it as they would share a server: a log has one owner.
//! What an app does ends that app alone; what was acknowledged is on the disk, whatever ends.
//!
//! ```text
//!   start one after another ──► all run ──► a signal, or the last has ended ──► stop all at once ──► exit code
//! ```

mod pair;
pub(crate) mod plan;
pub(crate) mod record;
mod voice;

use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::logging::{self, Format};
use crate::serving::signals::Signals;
use crate::wire::sidecar::Inside;
use crate::{exit, terminal};
use plan::Plan;
use voice::Voice;

/// Threads of each sidecar, and those of it that may block.
const WORKERS: usize = 2;
const BLOCKING_THREADS_MAX: usize = 32;

/// Runs apps until they have ended or a signal comes. The exit code is that of the first app that failed; 0 after a
/// signal.
pub(crate) fn run(plan: Plan) -> anyhow::Result<ExitCode> {
    let format = if plan.log_json { Format::Json } else { Format::Text };
    logging::start_at(format, plan.log_level.as_deref(), plan.file.is_none());
    let runtime = runtime(None)?;
    let ended = runtime.block_on(live(plan));
    runtime.shutdown_background();
    Ok(ExitCode::from(ended?))
}

/// Threads whose log goes to a place.
fn runtime(place: Option<terminal::LogPlace>) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("mainstay")
        .on_thread_start(move || terminal::log_here(place.clone()))
        .enable_all()
        .build()
}

/// A sidecar and its app at work.
struct Running {
    life: JoinHandle<anyhow::Result<u8>>,
    threads: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not within another's task: waiting for threads there is forbidden.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

async fn live(plan: Plan) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    tokio::spawn(mainstay_app::reap_orphans());
    let (inside, stop) = (Inside::of(plan.data.clone()), CancellationToken::new());
    let is_alone = plan.file.is_none();
    let mut running = Vec::new();
    let mut is_told = false;
    for app in plan.apps {
        let (told, started) = oneshot::channel();
        let voice = Voice::of(&app, is_alone)?;
        let threads = runtime(voice.log_place())?;
        let (file, inside, stop) = (plan.file.clone(), inside.clone(), stop.clone());
        let life = threads.spawn(pair::Pair { app, file, inside, stop, voice }.live(told));
        running.push(Running { life, threads: Some(threads) });
        tokio::select! {
            // An error means that it ended before it ran; its life says why.
            started = started => if started.is_err() { break },
            () = signals.stop() => {
                is_told = true;
                break;
            }
        }
    }
    let mut all = std::pin::pin!(ended(running, &stop));
    if !is_told {
        tokio::select! {
            outcome = &mut all => {
                inside.close().await;
                return outcome;
            }
            () = signals.stop() => {}
        }
    }
    if !is_alone {
        voice::inform(
            "Received signal to stop Dapr and app processes. Shutting down Dapr and app processes.",
        );
    }
    stop.cancel();
    tokio::select! {
        outcome = all => { outcome?; }
        () = signals.stop() => tracing::warn!("a second signal: not waiting any longer"),
    }
    inside.close().await;
    // Whoever sent the signal asked for the end, however the apps take it.
    Ok(exit::OK)
}

/// Waits until all have ended; one that fails to start stops the others. The first exit code that is not 0 counts.
async fn ended(mut running: Vec<Running>, stop: &CancellationToken) -> anyhow::Result<u8> {
    let (mut code, mut failed) = (exit::OK, None);
    for one in &mut running {
        match (&mut one.life).await.map_err(anyhow::Error::from).flatten() {
            Ok(ended) if code == exit::OK => code = ended,
            Ok(_) => {}
            Err(error) => {
                stop.cancel();
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(code), Err)
}
