//! The life of a sidecar: parse → bind → open → serve → wait for the app → deliver → finish → exit code 0.

mod delivering;
pub(crate) mod flags;
mod resources;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_blocks::pubsub::Sort;
use mainstay_core::subscription::Subscription;
use mainstay_core::{Error, codes};
use mainstay_net::server::{ServeOptions, serve};
use mainstay_sidecar::Phase;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logging::{self, Format};
use crate::serving::signals::Signals;
use crate::wire::sidecar::Beside;
use crate::{environment, exit, terminal};
use flags::Options;

/// Threads for blocking work (file reads, name resolution).
const BLOCKING_THREADS_MAX: usize = 64;
/// Connections open at once on each address.
const CONNECTIONS_MAX: u32 = 10_000;
/// Runs a sidecar until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    logging::start_at(
        if options.log_json { Format::Json } else { Format::Text },
        options.log_level.as_deref(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("mainstay")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(live(options, started));
    runtime.shutdown_timeout(options.grace);
    ended?;
    Ok(ExitCode::from(exit::OK))
}

async fn live(options: &Options, started: Instant) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    for name in &options.without_effect {
        tracing::debug!("the flag `--{name}` has no effect here");
    }
    let resources = resources::load(options)?;
    let http = bind(options, options.http_port).await?;
    let grpc = bind(options, options.grpc_port).await?;
    warn_of_strangers(options);
    // Opening may wait for a server that does not answer; a signal does not.
    let beside = tokio::select! {
        opened = Beside::open(options, &resources, shutdown()) => opened?,
        () = signals.stop() => return Ok(()),
    };
    let stop = CancellationToken::new();
    let servers = TaskTracker::new();
    for listener in http {
        terminal::print(&format!("mainstay: listening on http://{}\n", listener.local_addr()?));
        servers.spawn(serve(listener, beside.surface.router(), bounds(options), stop.clone()));
    }
    for listener in grpc {
        tracing::info!(address = %listener.local_addr()?, "the gRPC API is up");
        servers.spawn(serve(listener, beside.grpc.router(), bounds(options), stop.clone()));
    }
    if let Some(socket) = beside.socket() {
        servers.spawn(serve(socket, beside.inbound(), bounds(options), stop.clone()));
    }
    servers.close();
    beside.surface.reach(Phase::Outbound);
    let (leave, work) = (CancellationToken::new(), TaskTracker::new());
    let ready = attend(options, &beside, resources.subscriptions, started, &leave, &work);
    tokio::select! {
        () = signals.stop() => {}
        () = beside.asked_to_stop() => {}
        ended = async { ready.await?; std::future::pending::<anyhow::Result<()>>().await } => ended?,
    }
    if !options.block.is_zero() {
        tracing::info!(
            seconds = options.block.as_secs_f32(),
            "serving on, as `--dapr-block-shutdown-duration` asks"
        );
        tokio::time::sleep(options.block).await;
    }
    beside.surface.reach(Phase::Ending);
    beside.grpc.set_draining();
    leave.cancel();
    work.close();
    let finished = async {
        work.wait().await;
        stop.cancel();
        servers.wait().await;
    };
    if tokio::time::timeout(options.grace, finished).await.is_err() {
        tracing::warn!("cutting what did not finish in time");
    }
    beside.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says that whoever reaches this host reaches the app's state, where that is so.
fn warn_of_strangers(options: &Options) {
    let is_loopback = |host: &String| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    if !options.listen.iter().all(is_loopback) && environment::dapr_api_token().is_none() {
        tracing::warn!(
            "listening beyond this host without DAPR_API_TOKEN: whoever can connect can use every component"
        );
    }
}

/// Waits for the app, and delivers what it subscribes to. Returns when deliveries have begun; they go on as `work`.
async fn attend(
    options: &Options,
    beside: &Beside,
    declared: Vec<Subscription>,
    started: Instant,
    leave: &CancellationToken,
    work: &TaskTracker,
) -> anyhow::Result<()> {
    if let (Some(app), Some(at)) = (&beside.app, &options.app) {
        delivering::wait_for(&**app, &at.url()).await;
        beside.probe(leave, work);
        let mut subscriptions: Vec<_> = declared.into_iter().map(|one| (one, Sort::Declared)).collect();
        if options.asks_subscriptions {
            let asked = delivering::ask(&**app).await;
            subscriptions.extend(asked.into_iter().map(|one| (one, Sort::Asked)));
        }
        for subscription in subscriptions {
            delivering::begin(beside, app, subscription, leave, work);
        }
    }
    beside.surface.reach(Phase::Ready);
    let elapsed_ms = started.elapsed().as_millis();
    // Scripts that start daprd wait for this line.
    tracing::info!("dapr initialized. Status: Running. Init Elapsed {elapsed_ms}ms");
    Ok(())
}

/// Binds a port at every address. A host without IPv6 has no `::1`: one address is enough.
async fn bind(options: &Options, port: u16) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut last = None;
    for host in &options.listen {
        let at = listeners
            .first()
            .and_then(|first| first.local_addr().ok())
            .map_or(port, |at: SocketAddr| at.port());
        match TcpListener::bind(format!("{host}:{at}")).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => last = Some((host, error)),
        }
    }
    match last {
        Some((host, error)) if listeners.is_empty() || error.kind() == std::io::ErrorKind::AddrInUse => {
            let message = format!("cannot listen on `{host}:{port}`: {error}");
            let help = "another process may hold the port; choose one with `--dapr-http-port`";
            Err(Error::new(&codes::NOT_READY, message).with_help(help).into())
        }
        _ => Ok(listeners),
    }
}

fn bounds(options: &Options) -> ServeOptions {
    ServeOptions {
        // Clients of gRPC connect long before they call, and keep their connections.
        header_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(300),
        write_timeout: Duration::from_secs(60),
        connections_max: CONNECTIONS_MAX,
        close_timeout: options.grace,
    }
}

/// What `POST /v1.0/shutdown` does: asks this process to stop as a signal does, or ends it shortly.
fn shutdown() -> (Arc<tokio::sync::Notify>, Arc<dyn Fn(bool) + Send + Sync>) {
    let asked = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&asked);
    let shutdown = move |force: bool| {
        if force {
            tokio::spawn(async {
                // The answer to whoever asked goes out first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                std::process::exit(i32::from(exit::FAILED));
            });
        }
        told.notify_one();
    };
    (asked, Arc::new(shutdown))
}
