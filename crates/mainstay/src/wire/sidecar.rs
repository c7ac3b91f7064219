//! Joins components to the building blocks and those to the sidecar's surfaces. With `wire.rs` it is what names both an
//! adapter and a surface.

mod conversation;
mod opener;
mod types;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_blocks::layers::Layers;
use mainstay_blocks::{App, Blocks};
use mainstay_config::resources::policies;
use mainstay_core::Clock;
use mainstay_core::resources::Resources;
use mainstay_dapr::{About, AppConnection};
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;
use mainstay_sidecar::{Parts, Surface, Target, Targets};
use tokio::sync::Notify;

use crate::environment;
use crate::sidecar::flags::Options;
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
        inside: &Inside,
        (asked, shutdown): (Arc<Notify>, Arc<dyn Fn(bool) + Send + Sync>),
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let client = Client::new(ClientOptions::default());
        let app = App { id: options.app_id.clone(), namespace: environment::namespace() };
        let opener = Opener {
            app: &app,
            clock: &clock,
            client: &client,
            stores: &inside.0,
            runtime: &resources.runtime,
            folder: options.folder.clone(),
            telemetry: Arc::new(mainstay_telemetry::Prometheus::new(&[])),
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
        let blocks = Blocks::new(app, clock, table);
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
        Ok(Self { blocks, surface, grpc, client, asked })
    }

    /// Waits until the app asks this process to stop.
    pub(crate) async fn asked_to_stop(&self) {
        self.asked.notified().await;
    }
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
