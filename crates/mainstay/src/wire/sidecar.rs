//! Joins components to the building blocks and those to the sidecar's surfaces. With `wire.rs` it is what names both an
//! adapter and a surface.

mod app;
mod conversation;
mod endpoints;
mod inbound;
mod listed;
mod opener;
mod pipelines;
pub(crate) mod rules;
mod store_rules;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use mainstay_blocks::door::{Door, Probing};
use mainstay_blocks::layers::Layers;
use mainstay_blocks::state::outbox::Relays;
use mainstay_blocks::{App, Blocks};
use mainstay_config::resources::policies;
use mainstay_core::Clock;
use mainstay_core::callback::AppCallback;
use mainstay_core::resources::Resources;
use mainstay_core::subscription::Subscription;
use mainstay_core::telemetry::Telemetry;
use mainstay_gateway::Gateway;
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;
use mainstay_net::sockets::{SocketListener, Sockets};
use mainstay_sidecar::{Origins, Parts, Surface, Target};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::sidecar::flags::Options;
pub(crate) use inbound::Inbound;
pub(crate) use listed::{check, types_and};
pub(crate) use mainstay_components::pluggable::Plugged;
use opener::{Before, Opener};

/// Everything that runs beside an app.
pub(crate) struct Beside {
    pub(crate) blocks: Blocks,
    pub(crate) surface: Surface,
    pub(crate) grpc: mainstay_grpc::Surface,
    client: Client,
    /// The app, behind its door; `None` for one that only calls.
    pub(crate) app: Option<Arc<dyn AppCallback>>,
    pub(crate) door: Door,
    probing: Option<Probing>,
    sockets: Option<Sockets>,
    asked: Arc<Notify>,
    relays: Mutex<Relays>,
    clock: Arc<dyn Clock>,
    inside: Inside,
    taken: AsyncMutex<Taken>,
    plugged: Vec<Plugged>,
    telemetry: Arc<dyn Telemetry>,
    gateway: Option<Gateway>,
}

/// What the files said when they were last taken, and what was made of it.
struct Taken {
    resources: Resources,
    endpoints: BTreeMap<String, Target>,
}

/// The stores inside this process. Several sidecars may share them, as they would share a server.
#[derive(Clone)]
pub(crate) struct Inside(Arc<Stores>);

impl Inside {
    /// Stores in a folder, each opened when a component asks for it.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self(Arc::new(Stores::new(EmbeddedOptions::new(folder), Arc::new(SystemClock))))
    }

    /// Writes what waits and lets go of the folder.
    pub(crate) async fn close(&self) {
        let stores = Arc::clone(&self.0);
        if let Err(error) = tokio::task::spawn_blocking(move || stores.close()).await {
            tracing::error!(%error, "closing the stores failed; nothing acknowledged is lost");
        }
    }
}

impl Beside {
    /// Opens the components that are for this app; those that name a model of the spec ask it through `gateway`.
    /// Errors: the first that cannot be opened and must be.
    pub(crate) async fn open(
        options: &Options,
        resources: &Resources,
        plugged: Vec<Plugged>,
        inside: &Inside,
        gateway: Option<Gateway>,
        (asked, shutdown): (Arc<Notify>, Arc<dyn Fn(bool) + Send + Sync>),
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let client = Client::new(ClientOptions::default());
        let telemetry: Arc<dyn Telemetry> = Arc::new(mainstay_telemetry::Prometheus::new(&[]));
        let app = App { id: options.app_id.clone(), namespace: environment::namespace() };
        let opener = Opener {
            app: &app,
            clock: &clock,
            client: &client,
            stores: &inside.0,
            runtime: &resources.runtime,
            folder: options.folder.clone(),
            before: None,
            plugged: &plugged,
            telemetry: Arc::clone(&telemetry),
            gateway: gateway.as_ref(),
            models: resources.models.as_deref().unwrap_or_default(),
            missing: Mutex::default(),
        };
        let policies = policies(&resources.resiliencies, &options.app_id);
        let layers = Layers::new(policies).context("apply the policies of the Resiliency files")?;
        let mut table = opener.open_all(&resources.components).await?;
        table.guard(layers);
        let sockets = sockets(&options.app_id);
        let app::Joined { callback, door, targets, ways } = app::join(options, &client, sockets.as_ref())?;
        let endpoints = opener.endpoints(&resources.http_endpoints, &table).await?;
        let (http_rules, grpc_rules) = rules::of(options, resources, endpoints.clone());
        let blocks = Blocks::new(app, Arc::clone(&clock), table);
        measure(options, resources, &blocks);
        let surface = Surface::new(Parts {
            blocks: blocks.clone(),
            api_token: environment::dapr_api_token(),
            body_bytes_max: options.body_bytes_max,
            targets,
            client: client.clone(),
            rules: http_rules,
            origins: options.origins.as_deref().map(Origins::parse),
            shutdown: Arc::clone(&shutdown),
        });
        let grpc = services(options, (ways, grpc_rules), &blocks, &surface, shutdown);
        let health = options.app.as_ref().and_then(|app| app.health.as_ref());
        let probing = health.map(app::probing);
        let taken = AsyncMutex::new(Taken { resources: resources.clone(), endpoints });
        Ok(Self {
            blocks,
            surface,
            grpc,
            app: callback,
            door,
            probing,
            sockets,
            client,
            asked,
            relays: Mutex::default(),
            clock,
            inside: inside.clone(),
            taken,
            plugged,
            telemetry,
            gateway,
        })
    }

    /// The types that sockets served at the start.
    pub(crate) fn plugged(&self) -> &[Plugged] {
        &self.plugged
    }

    /// Opens what has changed anew and swaps it in, with the rules of the same files; what has not stays as it is, with
    /// its connections. Calls at work end with what they began with. Errors: as [`Beside::open`], and then nothing has
    /// changed.
    pub(crate) async fn reload(&self, options: &Options, resources: &Resources) -> anyhow::Result<()> {
        let mut taken = self.taken.lock().await;
        self.adopt(&mut taken, options, resources).await
    }

    /// Tries again to open what could not be opened, of what the files said when they were last taken: the
    /// subscriptions of these. Errors: as [`Beside::reload`].
    pub(crate) async fn again(&self, options: &Options) -> anyhow::Result<Vec<Subscription>> {
        let mut taken = self.taken.lock().await;
        let resources = taken.resources.clone();
        self.adopt(&mut taken, options, &resources).await?;
        Ok(resources.subscriptions)
    }

    async fn adopt(&self, taken: &mut Taken, options: &Options, resources: &Resources) -> anyhow::Result<()> {
        let open = self.blocks.table();
        let opener = Opener {
            app: self.blocks.app(),
            clock: &self.clock,
            client: &self.client,
            stores: &self.inside.0,
            runtime: &resources.runtime,
            folder: options.folder.clone(),
            before: Some(Before { table: &open, resources: &taken.resources, endpoints: &taken.endpoints }),
            plugged: &self.plugged,
            telemetry: Arc::clone(&self.telemetry),
            gateway: self.gateway.as_ref(),
            models: resources.models.as_deref().unwrap_or_default(),
            missing: Mutex::default(),
        };
        let policies = policies(&resources.resiliencies, &options.app_id);
        // Breakers keep what they know while the policies are the same.
        let layers = if policies == *open.layers.policies() {
            open.layers.clone()
        } else {
            Layers::new(policies).context("apply the policies of the Resiliency files")?
        };
        let mut table = opener.open_all(&resources.components).await?;
        table.guard(layers);
        let endpoints = opener.endpoints(&resources.http_endpoints, &table).await?;
        let (http_rules, grpc_rules) = rules::of(options, resources, endpoints.clone());
        // Nothing can fail from here on, and nothing is waited for. Rules come before what they protect.
        self.surface.adopt(http_rules);
        self.grpc.adopt(grpc_rules);
        self.blocks.reload(table);
        if rules::waits_for_a_start(&taken.resources.runtime, &resources.runtime) {
            tracing::warn!(
                "what changed of a Configuration's features, tracing, metrics and name resolution takes effect at \
                 the next start"
            );
        }
        *taken = Taken { resources: resources.clone(), endpoints };
        Ok(())
    }

    /// Publishes what waits in the outboxes of the stores that are open now, on `work`, until `stop`.
    pub(crate) fn relay(&self, work: &TaskTracker, stop: &CancellationToken) {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).follow(&self.blocks, work, stop);
    }

    /// Whether a component could not be opened.
    pub(crate) fn lacks(&self) -> bool {
        !self.blocks.table().missing.is_empty()
    }

    /// Waits until the app asks this process to stop.
    pub(crate) async fn asked_to_stop(&self) {
        self.asked.notified().await;
    }

    /// Where other apps on this host call this one.
    pub(crate) fn socket(&self) -> Option<SocketListener> {
        let app = self.blocks.app();
        let sockets = self.sockets.as_ref().filter(|_| !app.id.is_empty())?;
        let namespace = app.namespace.as_deref().unwrap_or(mainstay_dapr::invoke::NAMESPACE);
        let name = Sockets::name(namespace, &app.id);
        let listening = sockets.listen(&name).inspect_err(|error| {
            tracing::warn!(%error, "no other app on this host can call this one: it cannot listen as `{name}`");
        });
        listening.ok()
    }

    /// The service for that.
    pub(crate) fn inbound(&self) -> Inbound {
        Inbound { requests: self.surface.inbound(), services: self.grpc.inbound() }
    }

    /// Probes the app, as `work`, where that is asked for.
    pub(crate) fn probe(&self, leave: &CancellationToken, work: &TaskTracker) {
        let (Some(app), Some(probing)) = (self.app.clone(), self.probing) else { return };
        let (door, leave) = (self.door.clone(), leave.clone());
        work.spawn(async move { door.probe(&*app, probing, &leave).await });
    }
}

/// Has calls measured, where the flags and the files want it.
fn measure(options: &Options, resources: &Resources, blocks: &Blocks) {
    if options.listening.metrics.is_some() && resources.runtime.metrics.enabled {
        let App { id, namespace } = blocks.app();
        let meter = mainstay_telemetry::Beside::new(id, namespace.as_deref().unwrap_or_default());
        blocks.measure(Arc::new(meter));
    }
}

/// The gRPC API. Calls by message become requests of the other surface.
fn services(
    options: &Options,
    (ways, rules): (mainstay_grpc::Ways, mainstay_grpc::Rules),
    blocks: &Blocks,
    surface: &Surface,
    shutdown: Arc<dyn Fn(bool) + Send + Sync>,
) -> mainstay_grpc::Surface {
    let calls = surface.clone();
    mainstay_grpc::Surface::new(mainstay_grpc::Parts {
        blocks: blocks.clone(),
        api_token: environment::dapr_api_token(),
        message_bytes_max: options.body_bytes_max,
        reflection: options.reflection,
        rules,
        invoke: Arc::new(move |request| {
            let calls = calls.clone();
            Box::pin(async move { calls.invoke(request).await })
        }),
        ways,
        shutdown,
    })
}

/// The types that the sockets of the folder serve, where there is one. A socket that does not answer is told, and its
/// types are not there.
pub(crate) async fn plugged() -> mainstay_core::Result<Vec<Plugged>> {
    let found = mainstay_components::pluggable::discover(&environment::sockets_folder()).await?;
    for (socket, error) in &found.silent {
        tracing::warn!(socket = %socket.display(), error = ?error, "a socket of pluggable components is passed over");
    }
    for plugged in &found.types {
        tracing::info!(kind = %plugged.kind, "a pluggable component is there");
    }
    Ok(found.types)
}

/// The folder by which apps on this host find each other. One without an id is found by nobody, and finds others.
fn sockets(app_id: &str) -> Option<Sockets> {
    let folder = environment::runtime_folder().join("apps");
    let opened = Sockets::open(&folder);
    opened
        .inspect_err(|error| {
            let folder = folder.display();
            tracing::warn!(%error, app = %app_id, "no other app on this host can be called: `{folder}` cannot be used; `MAINSTAY_RUNTIME_FOLDER` names another");
        })
        .ok()
}
