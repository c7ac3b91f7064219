//! Joins components to the building blocks and those to the sidecar's surfaces. With `wire.rs` it is what names both an
//! adapter and a surface.

mod conversation;
mod opener;
mod types;

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_blocks::{App, Blocks};
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
    stores: Arc<Stores>,
    asked: Arc<Notify>,
}

impl Beside {
    /// Opens the components that are for this app. Errors: the first that cannot be opened and must be.
    pub(crate) async fn open(
        options: &Options,
        resources: &Resources,
        (asked, shutdown): (Arc<Notify>, Arc<dyn Fn(bool) + Send + Sync>),
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stores =
            Arc::new(Stores::new(EmbeddedOptions::new(data_folder(&options.app_id)), Arc::clone(&clock)));
        let client = Client::new(ClientOptions::default());
        let app = App { id: options.app_id.clone(), namespace: environment::namespace() };
        let opener = Opener {
            app: &app,
            clock: &clock,
            client: &client,
            stores: &stores,
            runtime: &resources.runtime,
            folder: PathBuf::from("."),
            telemetry: Arc::new(mainstay_telemetry::Prometheus::new(&[])),
        };
        let table = opener.open_all(&resources.components).await?;
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
        Ok(Self { blocks, surface, grpc, client, stores, asked })
    }

    /// Waits until the app asks this process to stop.
    pub(crate) async fn asked_to_stop(&self) {
        self.asked.notified().await;
    }

    /// Closes the stores inside the process.
    pub(crate) async fn close(&self) {
        let stores = Arc::clone(&self.stores);
        if let Err(error) = tokio::task::spawn_blocking(move || stores.close()).await {
            tracing::error!(%error, "closing the stores failed; nothing acknowledged is lost");
        }
    }
}

fn data_folder(app_id: &str) -> PathBuf {
    let folder = environment::data_folder().unwrap_or_else(|| PathBuf::from(".mainstay"));
    if app_id.is_empty() { folder.join("sidecar") } else { folder.join("apps").join(app_id) }
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
