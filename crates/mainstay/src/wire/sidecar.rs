//! Joins components to the building blocks and those to the sidecar's surfaces. With `wire.rs` it is what names both an
//! adapter and a surface.

mod conversation;
mod opener;
mod pipelines;
mod store_rules;
mod types;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use mainstay_blocks::layers::Layers;
use mainstay_blocks::state::outbox::Relays;
use mainstay_blocks::{App, Blocks};
use mainstay_config::resources::policies;
use mainstay_core::Clock;
use mainstay_core::component::Component;
use mainstay_core::resources::Resources;
use mainstay_core::telemetry::Telemetry;
use mainstay_dapr::{About, AppConnection};
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;
use mainstay_sidecar::{Parts, Surface, Target, Targets};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::sidecar::flags::Options;
pub(crate) use mainstay_components::pluggable::Plugged;
use opener::Opener;
pub(crate) use types::{Listed, check, types};

/// The wire format that is spoken.
const RUNTIME_VERSION: &str = "1.18.3";

/// Everything that runs beside an app.
pub(crate) struct Beside {
    pub(crate) blocks: Blocks,
    pub(crate) surface: Surface,
    pub(crate) grpc: mainstay_grpc::Surface,
    pub(crate) client: Client,
    asked: Arc<Notify>,
    relays: Mutex<Relays>,
    clock: Arc<dyn Clock>,
    inside: Inside,
    /// What is open was opened from these.
    components: AsyncMutex<Vec<Component>>,
    plugged: Vec<Plugged>,
    telemetry: Arc<dyn Telemetry>,
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
    /// Opens the components that are for this app. Errors: the first that cannot be opened and must be.
    pub(crate) async fn open(
        options: &Options,
        resources: &Resources,
        plugged: Vec<Plugged>,
        inside: &Inside,
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
        };
        let policies = policies(&resources.resiliencies, &options.app_id);
        let layers = Layers::new(policies).context("apply the policies of the Resiliency files")?;
        let mut table = opener.open_all(&resources.components).await?;
        table.guard(layers);
        let targets = Targets {
            app: options.app_url.clone().map(|base| Target { base, is_app: true, ..Target::default() }),
            app_token: environment::app_api_token(),
            endpoints: opener.endpoints(&resources.http_endpoints, &table).await?,
        };
        let blocks = Blocks::new(app, Arc::clone(&clock), table);
        let surface = Surface::new(Parts {
            blocks: blocks.clone(),
            api_token: environment::dapr_api_token(),
            body_bytes_max: options.body_bytes_max,
            targets,
            client: client.clone(),
            about: about(options),
            shutdown: Arc::clone(&shutdown),
        });
        let grpc = mainstay_grpc::Surface::new(mainstay_grpc::Parts {
            blocks: blocks.clone(),
            api_token: environment::dapr_api_token(),
            message_bytes_max: options.body_bytes_max,
            reflection: false,
            about: about(options),
            shutdown,
        });
        let (relays, components) = (Mutex::default(), AsyncMutex::new(resources.components.clone()));
        let inside = inside.clone();
        Ok(Self { blocks, surface, grpc, client, asked, relays, clock, inside, components, plugged, telemetry })
    }

    /// The types that sockets served at the start.
    pub(crate) fn plugged(&self) -> &[Plugged] {
        &self.plugged
    }

    /// Opens what has changed anew and swaps it in; what has not stays as it is, with its connections. Calls at work end with
    /// what they began with. Errors: as [`Beside::open`], and then nothing has changed.
    pub(crate) async fn reload(&self, options: &Options, resources: &Resources) -> anyhow::Result<()> {
        let mut components = self.components.lock().await;
        let open = self.blocks.table();
        let opener = Opener {
            app: self.blocks.app(),
            clock: &self.clock,
            client: &self.client,
            stores: &self.inside.0,
            runtime: &resources.runtime,
            folder: options.folder.clone(),
            before: Some((&open, &components)),
            plugged: &self.plugged,
            telemetry: Arc::clone(&self.telemetry),
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
        self.blocks.reload(table);
        components.clone_from(&resources.components);
        Ok(())
    }

    /// Publishes what waits in the outboxes of the stores that are open now, on `work`, until `stop`.
    pub(crate) fn relay(&self, work: &TaskTracker, stop: &CancellationToken) {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).follow(&self.blocks, work, stop);
    }

    /// Waits until the app asks this process to stop.
    pub(crate) async fn asked_to_stop(&self) {
        self.asked.notified().await;
    }
}

/// The types that the sockets of the folder serve, where there is one. A socket that does not answer is told, and its types are
/// not there.
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

fn about(options: &Options) -> About {
    let connection = options.app_url.as_ref().map(|url| {
        let (protocol, address) = url.split_once("://").unwrap_or(("http", url));
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        AppConnection {
            port: port.parse().unwrap_or_default(),
            protocol: protocol.to_owned(),
            channel_address: host.to_owned(),
            ..AppConnection::default()
        }
    });
    About { runtime_version: RUNTIME_VERSION.to_owned(), app_connection: connection, ..About::default() }
}
