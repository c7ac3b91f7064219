//! The life of a server: plan → bind → open → serve → drain → exit code. `dev` and `serve` are this with different
//! surroundings.

mod banner;
mod blocks;
mod closing;
mod descriptors;
mod fixed;
mod purge;
mod reload;
pub(crate) mod signals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::plan::Server;
use mainstay_core::{Error, codes};
use mainstay_net::server::ServeOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::spec::{self, Loaded};
use crate::wire::sidecar::plugged;
use crate::wire::{House, Models};
use crate::{environment, exit, stand_in, surroundings};
use blocks::Blocks;
use fixed::Fixed;
use purge::Purge;
use reload::Watch;
use signals::{Signal, Signals};

/// How a server is run.
#[derive(Debug)]
pub(crate) struct Options {
    /// The spec's folder or file.
    pub(crate) given: PathBuf,
    /// What overrides the spec.
    pub(crate) flags: spec::Flags,
    /// For development: fetch what is missing, show a banner, reload on change.
    pub(crate) dev: bool,
}

/// Threads for blocking work (file reads, name resolution).
const BLOCKING_THREADS_MAX: usize = 64;
/// How often old runs are looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the journal may take to close: a few syncs, on a disk that answers.
const JOURNAL_CLOSE_MAX: Duration = Duration::from_secs(10);
/// After the drain, how long connections may take to close, apps to stop, and threads to end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// The same after a second signal, and how long the last events may take to reach their readers.
const HURRY_GRACE: Duration = Duration::from_millis(500);

/// Runs a server until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let descriptors = descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("mainstay")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(live(options, started, descriptors));
    // What still blocks then waits for something that is stuck; the process does not.
    runtime.shutdown_timeout(CLOSE_GRACE);
    ended?;
    Ok(ExitCode::from(exit::OK))
}

async fn live(options: &Options, started: Instant, descriptors: Option<u64>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let plugged = tokio::select! {
        found = plugged() => found?,
        () = signals.stop() => return Ok(()),
    };
    let loaded = spec::load(&options.given, &options.flags, &plugged).map_err(spec::Fault::explain)?;
    let Loaded { mut plan, files, warnings } = loaded;
    let mut watch = Watch::new(files);
    spec::warn(&warnings);
    let listener = bind(plan.server.listen).await?;
    let address = listener.local_addr()?;
    let models_folder = environment::models_folder();
    if options.dev {
        plan = stand_in::prepare(plan, &models_folder).await?;
    }
    tokio::spawn(mainstay_app::reap_orphans());
    // Before the house: the apps that it starts are told the ports.
    let models = Models::of(&plan);
    let mut blocks = tokio::select! {
        opened = Blocks::open(&plan, &plugged, &models.gateway) => opened?,
        () = signals.stop() => return Ok(()),
    };
    blocks.tell(&mut plan);
    let mut house = House::open(&plan, &models_folder, models)
        .await
        .map_err(|error| surroundings::all_missing(error, &plan))?;
    let stop = CancellationToken::new();
    let bounds = serve_options(&plan.server, descriptors);
    let mut served = tokio::spawn(house.surface.router().serve(listener, bounds, stop.clone()));
    blocks.begin(&house.surface);
    banner::print(&plan, address, options.dev, started.elapsed());
    let fixed = Fixed::of(&plan);
    let mut purge = Purge::default();
    let mut purge_time = tokio::time::interval(PURGE_INTERVAL);
    purge_time.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => {
                    plan = reload::apply((options, &plugged), (&mut house, &mut blocks), plan, &fixed, &mut watch).await;
                }
            },
            () = watch.changed(), if options.dev => {
                plan = reload::apply((options, &plugged), (&mut house, &mut blocks), plan, &fixed, &mut watch).await;
            }
            () = blocks.asked_to_stop() => break,
            _ = purge_time.tick() => purge.begin(Arc::clone(&house.journal) as _, &plan),
        }
    }
    house.surface.set_draining();
    tokio::select! {
        () = leave(&house, &blocks, &plan.server, &stop, &mut served) => {}
        () = signals.stop() => {
            tracing::warn!("a second signal: not waiting any longer");
            leave_at_once(&house, &stop, &mut served).await;
        }
    }
    blocks.let_go().await;
    let journal = Arc::clone(&house.journal);
    closing::within(JOURNAL_CLOSE_MAX, move || journal.close()).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!("cannot listen on `{address}`: {error}");
        let help = "another process may hold the port; choose one with `--listen ADDRESS:PORT`";
        Error::new(&codes::NOT_READY, message).with_help(help).into()
    })
}

fn serve_options(server: &Server, descriptors: Option<u64>) -> ServeOptions {
    ServeOptions {
        header_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        write_timeout: server.write_timeout,
        connections_max: descriptors::connections_max(server.connections_max, descriptors),
        close_timeout: CLOSE_GRACE,
    }
}

/// Lets what is open finish within the spec's `drain`, cuts the rest, closes the connections, and stops the apps.
async fn leave(
    house: &House,
    blocks: &Blocks,
    server: &Server,
    stop: &CancellationToken,
    served: &mut JoinHandle<()>,
) {
    tracing::info!(seconds = server.drain.as_secs(), "draining");
    let finished = async {
        tell_cut(house.engine.drain(server.drain).await, "within the drain");
        house.surface.idle().await;
    };
    let _ = tokio::time::timeout(server.drain + CLOSE_GRACE, finished).await;
    stop.cancel();
    let _ = served.await;
    blocks.drain().await;
    house.stop_apps(CLOSE_GRACE).await;
    // Last, for an app that ends may want to save what it has.
    blocks.close().await;
}

/// The same without waiting, from wherever [`leave`] is: the runs at work end on record, and whoever reads them is
/// told.
async fn leave_at_once(house: &House, stop: &CancellationToken, served: &mut JoinHandle<()>) {
    tell_cut(house.engine.drain(Duration::ZERO).await, "before the second signal");
    let _ = tokio::time::timeout(HURRY_GRACE, house.surface.idle()).await;
    stop.cancel();
    // A handle that has given its outcome must not be asked again.
    if !served.is_finished() {
        let _ = tokio::time::timeout(HURRY_GRACE, served).await;
    }
    let _ = tokio::time::timeout(HURRY_GRACE, house.stop_apps(HURRY_GRACE)).await;
}

fn tell_cut(runs: u64, when: &str) {
    if runs > 0 {
        tracing::warn!(runs, "runs did not finish {when}; they are marked `interrupted`");
    }
}
