//! The life of a sidecar: parse → bind → open → serve → wait for the app → deliver → finish → exit code. How one is run
//! is in `running.rs`; this is the process that is nothing else.

pub(crate) mod asking;
mod deliveries;
mod delivering;
pub(crate) mod flags;
mod listening;
mod reload;
mod resources;
pub(crate) mod running;
mod scrape;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::logging::{self, Format};
use crate::serving::signals::Signals;
use crate::wire::sidecar::Inside;
use crate::{environment, exit};
use flags::Options;
use running::Sidecar;

/// Threads for blocking work (file reads, name resolution).
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs a sidecar until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    logging::start_at(
        if options.log_json { Format::Json } else { Format::Text },
        options.log_level.as_deref(),
        true,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("mainstay")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(live(options));
    let is_hurried = ended.as_ref().is_ok_and(|code| *code != exit::OK);
    runtime.shutdown_timeout(if is_hurried { Duration::ZERO } else { options.grace });
    Ok(ExitCode::from(ended?))
}

/// Its exit code is 0, unless it is told twice to stop.
async fn live(options: &Options) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let inside = Inside::of(data_folder(&options.app_id));
    // Opening may wait for a server that does not answer; a signal does not.
    let sidecar = tokio::select! {
        started = Sidecar::start(options.clone(), &inside, true) => started?,
        () = signals.stop() => return Ok(exit::OK),
    };
    sidecar.announce();
    let leave = CancellationToken::new();
    let by_signal = tokio::select! {
        () = signals.stop() => true,
        () = sidecar.asked_to_stop() => false,
        () = async { sidecar.attend(&leave).await; std::future::pending().await } => false,
    };
    let ending = async {
        if by_signal {
            tokio::select! {
                () = sidecar.linger(&leave) => {}
                // Whoever asks for the end meanwhile means now.
                () = sidecar.asked_to_stop() => {}
            }
        }
        sidecar.drain(&leave).await;
        sidecar.close().await;
        inside.close().await;
    };
    tokio::select! {
        () = ending => {}
        () = signals.stop() => {
            tracing::warn!("a second signal: not waiting any longer; what was acknowledged is kept");
            return Ok(exit::FAILED);
        }
    }
    tracing::info!("stopped");
    Ok(exit::OK)
}

/// Where the stores inside the process keep what is the app's.
pub(crate) fn data_folder(app_id: &str) -> PathBuf {
    let folder = environment::data_folder().unwrap_or_else(|| PathBuf::from(".mainstay"));
    if app_id.is_empty() { folder.join("sidecar") } else { folder.join("apps").join(app_id) }
}
