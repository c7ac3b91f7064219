//! A sidecar at work: started, attending to its app, drained, closed; the steps are its owner's to take, in that order.
//! It hears no signal and ends no process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::resources::Resources;
use mainstay_gateway::Gateway;
use mainstay_net::server::ServeOptions;
use mainstay_sidecar::Phase;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deliveries::Deliveries;
use super::flags::Options;
use super::listening::Bound;
use super::reload::{Follower, Look, PAUSES};
use super::{delivering, resources};
use crate::wire::sidecar::rules::HOT_RELOAD;
use crate::wire::sidecar::{Beside, Inside, Plugged, plugged};
use crate::{environment, exit, terminal};

/// Connections open at once on each address.
const CONNECTIONS_MAX: u32 = 10_000;
/// A sidecar that serves.
pub(crate) struct Sidecar {
    options: Options,
    beside: Arc<Beside>,
    deliveries: Arc<Deliveries>,
    /// How the files looked before they were read, where it follows them itself.
    follows: Option<Look>,
    /// Where its APIs are.
    pub(crate) ports: Ports,
    /// Where the HTTP API is, as is said on standard output.
    addresses: Vec<String>,
    started: Instant,
    stop: CancellationToken,
    /// Ends what goes on while the end is put off: the probes of the app, and the outbox.
    stay: CancellationToken,
    servers: TaskTracker,
    work: TaskTracker,
}

/// The ports of a sidecar's two APIs; 0 for those at sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    /// Of its metrics; 0 without.
    pub(crate) metrics: u16,
}

impl Sidecar {
    /// Reads the resources, binds the ports, opens the components, serves, and follows the files from then on.
    /// `is_process` says whether the process is there for this sidecar, so that it may end it. Errors: a fault of the
    /// files, a port that is taken, a component.
    pub(crate) async fn start(options: Options, inside: &Inside, is_process: bool) -> anyhow::Result<Self> {
        let plugged = plugged().await?;
        // Before they are read: what changes while components open is then seen as a change.
        let look = Look::now(&options);
        let resources = resources::load(&options, &plugged)?;
        let follows = (resources.runtime.features.get(HOT_RELOAD) != Some(&false)).then_some(look);
        let sidecar = Self::serve(options, (resources, plugged), inside, None, is_process).await?;
        Ok(Self { follows, ..sidecar })
    }

    /// The same inside a service, with resources that are read already, and that somebody else follows, and the types
    /// that sockets serve. They may name models of the spec, which are asked through `gateway`.
    pub(crate) async fn open(
        options: Options,
        (resources, plugged): (Resources, Vec<Plugged>),
        inside: &Inside,
        gateway: Gateway,
    ) -> anyhow::Result<Self> {
        Self::serve(options, (resources, plugged), inside, Some(gateway), false).await
    }

    async fn serve(
        options: Options,
        (resources, plugged): (Resources, Vec<Plugged>),
        inside: &Inside,
        gateway: Option<Gateway>,
        is_process: bool,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let resources = resources::for_app(resources, &options.app_id);
        if options.asks_kubernetes {
            tracing::warn!(
                "`--mode kubernetes` has no effect here: resources are read from files, and apps are found on this host"
            );
        }
        for name in &options.without_effect {
            tracing::debug!("the flag `--{name}` has no effect here");
        }
        let bound = Bound::of(&options).await?;
        warn_of_strangers(&options);
        let beside =
            Beside::open(&options, &resources, plugged, inside, gateway, shutdown(is_process)).await?;
        let ports = bound.ports();
        let (stop, servers) = (CancellationToken::new(), TaskTracker::new());
        let addresses = bound.serve(&beside, bounds(&options), &stop, &servers)?;
        servers.close();
        beside.surface.reach(Phase::Outbound);
        let (beside, work) = (Arc::new(beside), TaskTracker::new());
        let way = delivering::Way {
            blocks: beside.blocks.clone(),
            door: beside.door.clone(),
            patience: options.binding_patience,
            work: work.clone(),
        };
        let deliveries = Arc::new(Deliveries::new(way, resources.subscriptions));
        Ok(Self {
            options,
            beside,
            deliveries,
            follows: None,
            ports,
            addresses,
            started,
            stop,
            stay: CancellationToken::new(),
            servers,
            work,
        })
    }

    /// Takes new resources while it serves: all of them, or none if a component cannot be opened. What is delivered
    /// ends with `leave`.
    pub(crate) async fn reload(&self, resources: Resources, leave: &CancellationToken) -> anyhow::Result<()> {
        let resources = resources::for_app(resources, &self.options.app_id);
        self.beside.reload(&self.options, &resources).await?;
        self.beside.relay(&self.work, &self.stay);
        self.deliveries.declare(resources.subscriptions, leave);
        Ok(())
    }

    /// Tries again to open what could not be opened, until `leave`. For resources that somebody else follows.
    pub(crate) async fn retry(&self, leave: &CancellationToken) {
        let (mut pause, longest) = PAUSES;
        loop {
            tokio::select! {
                () = leave.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if !self.beside.lacks() {
                pause = PAUSES.0;
                continue;
            }
            match self.beside.again(&self.options).await {
                Ok(subscriptions) => {
                    self.beside.relay(&self.work, &self.stay);
                    self.deliveries.declare(subscriptions, leave);
                }
                Err(error) => tracing::error!("trying again to open what is missing failed: {error:#}"),
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// What says whether each component can work.
    pub(crate) fn look(&self) -> mainstay_http::Look {
        let blocks = self.beside.blocks.clone();
        Arc::new(move || {
            let blocks = blocks.clone();
            Box::pin(async move {
                let asked = mainstay_blocks::ready::ready(&blocks).await.into_iter();
                asked
                    .map(|one| (format!("component {}", one.name), one.failure.map_or(Ok(()), Err)))
                    .collect()
            })
        })
    }

    /// Says on standard output where the HTTP API is, as programs that start it read it.
    pub(crate) fn announce(&self) {
        for address in &self.addresses {
            terminal::print(&format!("mainstay: listening on {address}\n"));
        }
    }

    /// Waits until the app asks it to stop.
    pub(crate) async fn asked_to_stop(&self) {
        self.beside.asked_to_stop().await;
    }

    /// Keeps what is said about the app among the metadata; what does not fit is left out.
    pub(crate) async fn note(&self, name: &str, value: String) {
        if let Err(error) = self.beside.blocks.extend(name.to_owned(), value).await {
            tracing::warn!(%error, "the metadata lacks `{name}`");
        }
    }

    /// Waits for the app, and delivers what it subscribes to until `leave` is cancelled. Returns when deliveries have
    /// begun.
    pub(crate) async fn attend(&self, leave: &CancellationToken) {
        self.beside.relay(&self.work, &self.stay);
        if let Some(look) = self.follows.clone() {
            let follower = Follower {
                taken: look,
                options: self.options.clone(),
                beside: Arc::clone(&self.beside),
                deliveries: Arc::clone(&self.deliveries),
                work: self.work.clone(),
                stay: self.stay.clone(),
            };
            self.work.spawn(follower.follow(leave.clone()));
        }
        if let (Some(app), Some(at)) = (&self.beside.app, &self.options.app) {
            self.beside.blocks.meet(Arc::clone(app));
            delivering::wait_for(&**app, &at.url()).await;
            self.beside.probe(&self.stay, &self.work);
            let asked = if self.options.asks_subscriptions {
                delivering::ask(&self.beside.blocks, &**app).await
            } else {
                Vec::new()
            };
            self.deliveries.begin(app, asked, leave);
        }
        self.beside.surface.reach(Phase::Ready);
        let elapsed_ms = self.started.elapsed().as_millis();
        // Scripts that start daprd wait for this line.
        tracing::info!("dapr initialized. Status: Running. Init Elapsed {elapsed_ms}ms");
    }

    /// Serves on for as long as `--dapr-block-shutdown-duration` asks, or until the app is not well. Nothing is
    /// delivered to the app any more; its own calls are answered. For an end that a signal asks for: one that the app
    /// asks for is not put off.
    pub(crate) async fn linger(&self, leave: &CancellationToken) {
        let block = self.options.block;
        if block.is_zero() {
            return;
        }
        leave.cancel();
        let seconds = block.as_secs_f32();
        tracing::info!(
            seconds,
            "serving on, as `--dapr-block-shutdown-duration` asks, while the app is well"
        );
        tokio::select! {
            () = tokio::time::sleep(block) => tracing::info!("serving on no longer: the time is over"),
            () = self.beside.door.until(false) => tracing::info!("serving on no longer: the app is not well"),
        }
    }

    /// Delivers nothing new, and waits for what is at the app, up to the grace. The APIs are still there.
    pub(crate) async fn drain(&self, leave: &CancellationToken) {
        self.beside.surface.reach(Phase::Ending);
        self.beside.grpc.set_draining();
        self.beside.blocks.end_watches();
        leave.cancel();
        self.stay.cancel();
        self.work.close();
        if tokio::time::timeout(self.options.grace, self.work.wait()).await.is_err() {
            tracing::warn!("not waiting any longer for what the app is working on; it is delivered again");
        }
    }

    /// Ends the APIs, and waits for calls at work, up to the grace.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        if tokio::time::timeout(self.options.grace, self.servers.wait()).await.is_err() {
            tracing::warn!("cutting what did not finish in time");
        }
    }
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

/// What `POST /v1.0/shutdown` does: asks the sidecar to stop as a signal does, or ends the process that is there for it
/// shortly.
fn shutdown(is_process: bool) -> (Arc<Notify>, Arc<dyn Fn(bool) + Send + Sync>) {
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let shutdown = move |force: bool| {
        if force && is_process {
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
