//! Opens the components that are for an app, each within its time. To add a block: a function here and its line in
//! `open_block`.
//!
//! Secret stores are opened first, for the others' settings may refer to their secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_blocks::pubsub::Scopes;
use mainstay_blocks::state::{Prefix, Rules};
use mainstay_blocks::{App, Opened, Summary, Table, lock};
use mainstay_components::def::{Def, Opening};
use mainstay_components::settings::Settings;
use mainstay_components::{locks, pubsub, secret_stores, state};
use mainstay_config::resources::Placeholders;
use mainstay_core::component::{Component, Setting, SettingValue};
use mainstay_core::http_endpoint::{HttpEndpoint, Tls};
use mainstay_core::runtime_config::RuntimeConfig;
use mainstay_core::secret_store::SecretStore;
use mainstay_core::{Clock, Ctx, Error, codes};
use mainstay_journal::Stores;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::tls::{Own, client_config_for};
use mainstay_sidecar::Target;

use super::types;
use crate::environment;

pub(super) struct Opener<'a> {
    pub(super) app: &'a App,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) client: &'a Client,
    pub(super) stores: &'a Arc<Stores>,
    pub(super) runtime: &'a RuntimeConfig,
    pub(super) folder: PathBuf,
}

impl Opener<'_> {
    pub(super) async fn open_all(&self, components: &[Component]) -> anyhow::Result<Table> {
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
            self.open_secrets(component, &mut table).await?;
        }
        for component in &ours {
            self.open_block(component, &mut table).await?;
        }
        Ok(table)
    }

    async fn open_secrets(&self, component: &Component, table: &mut Table) -> anyhow::Result<()> {
        let Some(def) = secret_stores::find(&component.kind) else { return Ok(()) };
        let Some((port, _)) = self.open(def, component, table).await? else { return Ok(()) };
        let scope = self.runtime.secrets.get(&component.name).cloned();
        let rules = Arc::new(scope.unwrap_or_default());
        table.secrets.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    /// Opens a component of any other block: the list of blocks. Each has a function of its own below.
    async fn open_block(&self, component: &Component, table: &mut Table) -> anyhow::Result<()> {
        if let Some(def) = state::find(&component.kind) {
            self.open_store(def, component, table).await?;
        } else if let Some(def) = pubsub::find(&component.kind) {
            self.open_broker(def, component, table).await?;
        } else if let Some(def) = locks::find(&component.kind) {
            self.open_locks(def, component, table).await?;
        }
        Ok(())
    }

    async fn open_store(
        &self,
        def: &state::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(def, component, table).await? else { return Ok(()) };
        if let Some(asked) = types::NOT_BUILT.iter().find(|name| settings.has(name)) {
            let message = format!("`{asked}` of the component `{}` is not built yet", component.name);
            return Err(Error::new(&codes::UNSUPPORTED, message).into());
        }
        let prefix = Prefix::of(settings.text("keyPrefix"), &component.name, self.app);
        let able = port.capabilities();
        table.stores.insert(component.name.clone(), Opened::new(port, Rules { prefix }));
        table.summaries.push(summary(component, words(&able)));
        Ok(())
    }

    async fn open_broker(
        &self,
        def: &pubsub::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(def, component, table).await? else { return Ok(()) };
        let rules = Scopes::of(|name| settings.text(name));
        table.brokers.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    async fn open_locks(
        &self,
        def: &locks::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(def, component, table).await? else { return Ok(()) };
        let rules = lock::Rules::of(settings.text("keyPrefix"), &component.name, self.app);
        table.locks.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
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

    /// What speaks TLS to an external service in its own way. Errors: a part that cannot be read, or is no PEM.
    async fn client_for(&self, tls: &Tls, endpoint: &HttpEndpoint, table: &Table) -> anyhow::Result<Client> {
        let pem = async |name: &str, value: &Option<SettingValue>| {
            let Some(value) = value.clone() else { return Ok(None) };
            let setting = Setting { name: name.to_owned(), value };
            self.value(&setting, endpoint.secret_store.as_deref(), table).await.map(Some)
        };
        let root_ca = pem("rootCA", &tls.root_ca).await?;
        let (certificate, key) =
            (pem("certificate", &tls.certificate).await?, pem("privateKey", &tls.private_key).await?);
        let own = Own { root_ca: root_ca.as_deref(), identity: certificate.as_deref().zip(key.as_deref()) };
        let config = client_config_for(own).map_err(|why| Error::new(&codes::CONFIG_VALUE, why))?;
        Ok(Client::with_tls(ClientOptions::default(), config))
    }

    /// The external services that are for this app. Errors: a secret in a header that cannot be read, or a header that
    /// is none.
    pub(super) async fn endpoints(
        &self,
        endpoints: &[HttpEndpoint],
        table: &Table,
    ) -> anyhow::Result<BTreeMap<String, Target>> {
        let namespace = self.app.namespace.as_deref().unwrap_or_default();
        let mut found = BTreeMap::new();
        for endpoint in endpoints.iter().filter(|one| one.is_for(&self.app.id, namespace)) {
            let context = || format!("open the external service `{}` ({})", endpoint.name, endpoint.origin);
            let client = match &endpoint.tls {
                Some(tls) => Some(self.client_for(tls, endpoint, table).await.with_context(context)?),
                None => None,
            };
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
            let target = Target { base: endpoint.base_url.clone(), headers, client };
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
