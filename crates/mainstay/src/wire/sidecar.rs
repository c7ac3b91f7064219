//! Joins components to the building blocks and those to the sidecar's surfaces. With `wire.rs` it is what names both an
//! adapter and a surface.
//!
//! Secret stores are opened first, for the others' settings may refer to their secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_blocks::pubsub::Scopes;
use mainstay_blocks::state::{Prefix, Rules};
use mainstay_blocks::{App, Blocks, Broker, Opened, Summary, Table};
use mainstay_components::def::{Def, Opening, SettingDef};
use mainstay_components::settings::Settings;
use mainstay_components::{pubsub, secret_stores, state};
use mainstay_config::resources::{Placeholders, SettingName, TypeDef};
use mainstay_core::component::{Component, Setting, SettingValue};
use mainstay_core::http_endpoint::HttpEndpoint;
use mainstay_core::resources::Resources;
use mainstay_core::runtime_config::RuntimeConfig;
use mainstay_core::secret_store::SecretStore;
use mainstay_core::{Clock, Ctx, Error, Fault, codes};
use mainstay_dapr::{About, AppConnection};
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;
use mainstay_sidecar::{Parts, Surface, Target, Targets};
use tokio::sync::Notify;

use crate::environment;
use crate::sidecar::flags::Options;

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

struct Opener<'a> {
    app: &'a App,
    clock: &'a Arc<dyn Clock>,
    client: &'a Client,
    stores: &'a Arc<Stores>,
    runtime: &'a RuntimeConfig,
    folder: PathBuf,
}

impl Opener<'_> {
    async fn open_all(&self, components: &[Component]) -> anyhow::Result<Table> {
        let namespace = self.app.namespace.as_deref().unwrap_or_default();
        let ours: Vec<&Component> =
            components.iter().filter(|one| one.is_for(&self.app.id, namespace)).collect();
        if let Some(denied) = ours.iter().find(|component| self.is_denied(component)) {
            let message =
                format!("the type `{}` of `{}` is denied by the configuration", denied.kind, denied.name);
            return Err(Error::new(&codes::CONFIG_VALUE, message).into());
        }
        let mut table = Table::default();
        for component in &ours {
            if let Some(def) = secret_stores::find(&component.kind)
                && let Some((port, _)) = self.open(def, component, &table).await?
            {
                let scope = self.runtime.secrets.get(&component.name).cloned();
                let rules = Arc::new(scope.unwrap_or_default());
                table.secrets.insert(component.name.clone(), Opened { port, rules });
                table.summaries.push(summary(component, Vec::new()));
            }
        }
        for component in &ours {
            if let Some(def) = state::find(&component.kind) {
                let Some((port, settings)) = self.open(def, component, &table).await? else { continue };
                if let Some(asked) = NOT_BUILT.iter().find(|name| settings.has(name)) {
                    let message = format!("`{asked}` of the component `{}` is not built yet", component.name);
                    return Err(Error::new(&codes::UNSUPPORTED, message).into());
                }
                let prefix = Prefix::of(settings.text("keyPrefix"), &component.name, self.app);
                let able = port.capabilities();
                table.stores.insert(component.name.clone(), Opened { port, rules: Rules { prefix } });
                table.summaries.push(summary(component, words(&able)));
            } else if let Some(def) = pubsub::find(&component.kind) {
                let Some((port, settings)) = self.open(def, component, &table).await? else { continue };
                let rules = Scopes::of(|name| settings.text(name));
                table.brokers.insert(component.name.clone(), Broker { port, rules });
                table.summaries.push(summary(component, Vec::new()));
            }
        }
        Ok(table)
    }

    /// Whether the configuration keeps this type, or this version of it, from being opened.
    fn is_denied(&self, component: &Component) -> bool {
        self.runtime.denied_types.iter().any(|denied| match denied.split_once('/') {
            Some((kind, version)) => {
                kind.eq_ignore_ascii_case(&component.kind) && version.eq_ignore_ascii_case(&component.version)
            }
            None => denied.eq_ignore_ascii_case(&component.kind),
        })
    }

    /// Opens a component within its time. `None` for one that cannot be opened and need not be.
    async fn open<P: ?Sized>(
        &self,
        def: &Def<P>,
        component: &Component,
        table: &Table,
    ) -> anyhow::Result<Option<(Arc<P>, Settings)>> {
        let opened = tokio::time::timeout(component.init_timeout, async {
            let settings = self.settings(component, table).await?;
            let opening = Opening {
                name: &component.name,
                version: &component.version,
                app_id: &self.app.id,
                settings: &settings,
                folder: &self.folder,
                embedded: &**self.stores,
                clock: self.clock,
                client: self.client,
            };
            Ok(((def.open)(opening).await?, settings))
        });
        let opened = opened.await.unwrap_or_else(|_| {
            let message = format!("it did not open within {} s", component.init_timeout.as_secs_f32());
            Err(Error::new(&codes::COMPONENT_UNAVAILABLE, message))
        });
        match opened {
            Ok(opened) => {
                tracing::info!(component = %component.name, kind = %component.kind, "component loaded");
                Ok(Some(opened))
            }
            Err(error) if component.ignore_errors => {
                tracing::error!(component = %component.name, error = ?error, "going on without a component");
                Ok(None)
            }
            Err(error) => Err(error)
                .with_context(|| format!("open the component `{}` ({})", component.name, component.origin)),
        }
    }

    /// The component's settings with its secrets, variables and placeholders filled in.
    async fn settings(&self, component: &Component, table: &Table) -> mainstay_core::Result<Settings> {
        let mut settings = Vec::with_capacity(component.settings.len());
        for setting in &component.settings {
            let value = self.value(setting, component.secret_store.as_deref(), table).await?;
            settings.push((setting.name.clone(), Some(value)));
        }
        Ok(Settings::new(settings))
    }

    async fn value(
        &self,
        setting: &Setting,
        secret_store: Option<&str>,
        table: &Table,
    ) -> mainstay_core::Result<String> {
        let placeholders = Placeholders {
            app_id: &self.app.id,
            namespace: self.app.namespace.as_deref().unwrap_or_default(),
            pod: environment::pod_name(),
        };
        match &setting.value {
            SettingValue::Text(text) => {
                placeholders.fill(text, &mut || uuid::Uuid::now_v7().to_string()).map_err(|_| {
                    let message = format!("`{}` has `{{podName}}`, and this is no pod", setting.name);
                    Error::new(&codes::CONFIG_VALUE, message)
                })
            }
            SettingValue::Env(variable) => Ok(environment::variable(variable).unwrap_or_default()),
            SettingValue::Secret { name, key } => {
                secret(secret_store.unwrap_or_default(), name, key, table).await
            }
        }
    }

    /// The external services that are for this app. Errors: a secret in a header that cannot be read, or a header that
    /// is none.
    async fn endpoints(
        &self,
        endpoints: &[HttpEndpoint],
        table: &Table,
    ) -> anyhow::Result<BTreeMap<String, Target>> {
        let namespace = self.app.namespace.as_deref().unwrap_or_default();
        let mut found = BTreeMap::new();
        for endpoint in endpoints.iter().filter(|one| one.is_for(&self.app.id, namespace)) {
            let context = || format!("open the external service `{}` ({})", endpoint.name, endpoint.origin);
            if endpoint.tls.is_some() {
                let error = Error::new(&codes::UNSUPPORTED, "certificates of its own are not built yet");
                return Err(error).with_context(context);
            }
            let mut headers = http::HeaderMap::new();
            for setting in &endpoint.headers {
                let value = self
                    .value(setting, endpoint.secret_store.as_deref(), table)
                    .await
                    .with_context(context)?;
                let name = http::HeaderName::try_from(setting.name.as_str()).with_context(context)?;
                let mut value = http::HeaderValue::try_from(value).with_context(context)?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            let target = Target { base: endpoint.base_url.clone(), headers, is_app: false };
            found.insert(endpoint.name.clone(), target);
        }
        Ok(found)
    }
}

async fn secret(store: &str, name: &str, key: &str, table: &Table) -> mainstay_core::Result<String> {
    let opened = table.secrets.get(store).ok_or_else(|| {
        let message =
            format!("its secret `{name}` is to come from the secret store `{store}`, which is not open");
        Error::new(&codes::SECRET_UNAVAILABLE, message).with_help("name it in `auth.secretStore`")
    })?;
    let port: &Arc<dyn SecretStore> = &opened.port;
    let secret = port.get(&Ctx::system(), name, &BTreeMap::new()).await?;
    secret.get(key).map(|value| value.expose().clone()).ok_or_else(|| {
        Error::new(&codes::SECRET_UNAVAILABLE, format!("the secret `{name}` of `{store}` has no key `{key}`"))
    })
}

fn summary(component: &Component, capabilities: Vec<&'static str>) -> Summary {
    let version = if component.version.is_empty() { "v1" } else { &component.version };
    Summary {
        name: component.name.clone(),
        kind: component.kind.clone(),
        version: version.to_owned(),
        capabilities,
    }
}

/// What a store can do, in the protocol's words.
fn words(able: &mainstay_core::state::Capabilities) -> Vec<&'static str> {
    let mut words = vec!["ETAG", "TTL"];
    if able.transaction_changes_max.is_some() {
        words.extend(["TRANSACTIONAL", "ACTOR"]);
    }
    if able.query {
        words.push("QUERY_API");
    }
    words
}

/// A type of component that there is, of whatever block.
pub(crate) struct Listed {
    kind: &'static str,
    aliases: &'static [&'static str],
    versions: &'static [&'static str],
    settings: Vec<SettingName<'static>>,
    check: fn(&Settings) -> Vec<Fault>,
}

impl Listed {
    fn of<P: ?Sized>(def: &Def<P>, of_block: &'static [SettingDef]) -> Self {
        let name =
            |one: &SettingDef| SettingName { name: one.name, required: one.required, secret: one.secret };
        Self {
            kind: def.kind,
            aliases: def.aliases,
            versions: def.versions,
            settings: def.settings.iter().chain(of_block).map(name).collect(),
            check: def.check,
        }
    }

    /// The same as the readers of resource files take it.
    pub(crate) fn def(&self) -> TypeDef<'_> {
        TypeDef { kind: self.kind, aliases: self.aliases, versions: self.versions, settings: &self.settings }
    }
}

const fn of_block(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// Settings that every state store has: the block reads them.
const STATE_SETTINGS: &[SettingDef] = &[
    of_block("keyPrefix", "What stands before the app's keys."),
    of_block("actorStateStore", "Whether actors keep their state here."),
    of_block(NOT_BUILT[0], "The key that values are encrypted with."),
    of_block(NOT_BUILT[1], "The key that values were encrypted with before."),
    of_block(NOT_BUILT[2], "The broker of the outbox."),
    of_block(NOT_BUILT[3], "The topic of the outbox."),
];
/// Those that ask for what is not built: a store that went on without would keep values in the clear, or lose events.
const NOT_BUILT: [&str; 4] =
    ["primaryEncryptionKey", "secondaryEncryptionKey", "outboxPublishPubsub", "outboxPublishTopic"];
/// Settings that every broker has.
const PUBSUB_SETTINGS: &[SettingDef] = &[
    of_block("allowedTopics", "Topics that there are."),
    of_block("protectedTopics", "Topics that only apps with a scope reach."),
    of_block("publishingScopes", "Topics that apps may publish to."),
    of_block("subscriptionScopes", "Topics that apps may subscribe to."),
    of_block("consumerID", "The group of the app's subscriptions."),
];

/// Every type of component.
pub(crate) fn types() -> Vec<Listed> {
    let states = state::ALL.iter().map(|def| Listed::of(def, STATE_SETTINGS));
    let brokers = pubsub::ALL.iter().map(|def| Listed::of(def, PUBSUB_SETTINGS));
    let secrets = secret_stores::ALL.iter().map(|def| Listed::of(def, &[]));
    states.chain(brokers).chain(secrets).collect()
}

/// Checks the settings of a component of a type.
pub(crate) fn check(kind: &str, settings: &[(&str, Option<&str>)]) -> Vec<Fault> {
    let known = |listed: &Listed| {
        std::iter::once(&listed.kind).chain(listed.aliases).any(|name| name.eq_ignore_ascii_case(kind))
    };
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    types()
        .iter()
        .find(|listed| known(listed))
        .map_or_else(Vec::new, |listed| (listed.check)(&Settings::new(settings)))
}
