//! Opens the components that are for an app, each within its time. To add a block: a function here and its line in
//! `open_block`.
//!
//! Secret stores are opened first, for the others' settings may refer to their secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use mainstay_blocks::pubsub::Scopes;
use mainstay_blocks::{App, Missing, Opened, Summary, Table, bindings as bound, lock};
use mainstay_components::def::Opening;
use mainstay_components::pluggable::{Block, Plugged};
use mainstay_components::settings::Settings;
use mainstay_components::{
    bindings, configuration, conversation, crypto, locks, middleware, pubsub, secret_stores, state,
};
use mainstay_core::binding::Binding;
use mainstay_core::component::Component;
use mainstay_core::pubsub::PubSub;
use mainstay_core::resources::Resources;
use mainstay_core::runtime_config::RuntimeConfig;
use mainstay_core::state::StateStore;
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Clock, Error, codes};
use mainstay_gateway::Gateway;
use mainstay_journal::Stores;
use mainstay_net::client::Client;
use mainstay_sidecar::Target;

use super::values::keeps_secrets;
use super::{pipelines, store_rules};

pub(super) struct Opener<'a> {
    pub(super) app: &'a App,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) client: &'a Client,
    pub(super) stores: &'a Arc<Stores>,
    pub(super) runtime: &'a RuntimeConfig,
    pub(super) folder: PathBuf,
    /// Types that sockets serve.
    pub(super) plugged: &'a [Plugged],
    /// What is open already: what is the same is taken over as it is.
    pub(super) before: Option<Before<'a>>,
    /// What is told of calls of models.
    pub(super) telemetry: Arc<dyn Telemetry>,
    /// What asks the spec's models, where there is a spec.
    pub(super) gateway: Option<&'a Gateway>,
    /// The names of those models.
    pub(super) models: &'a [String],
    /// What could not be opened so far, and need not be.
    pub(super) missing: Mutex<Vec<Missing>>,
}

/// What is open, and what it was opened from.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) table: &'a Table,
    pub(super) resources: &'a Resources,
    pub(super) endpoints: &'a BTreeMap<String, Target>,
}

/// Opens a port: a type's own way, or a socket's.
type Open<'o, P> = dyn for<'a> Fn(Opening<'a>) -> BoxFuture<'a, mainstay_core::Result<Arc<P>>> + Sync + 'o;

impl Opener<'_> {
    pub(super) async fn open_all(&self, components: &[Component]) -> anyhow::Result<Table> {
        let namespace = self.app.namespace.as_deref().unwrap_or_default();
        let ours: Vec<&Component> =
            components.iter().filter(|one| one.is_for(&self.app.id, namespace)).collect();
        if let Some(denied) =
            ours.iter().find(|component| self.is_denied(&component.kind, &component.version))
        {
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
        self.add_models(components, &mut table);
        pipelines::build(self.runtime, &ours, &mut table)?;
        table.missing = std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(table)
    }

    async fn open_secrets(&self, component: &Component, table: &mut Table) -> anyhow::Result<()> {
        let plugged = self.plugged(component).filter(|plugged| plugged.block == Block::SecretStores);
        let def = secret_stores::find(&component.kind);
        if def.is_none() && plugged.is_none() {
            return Ok(());
        }
        let scope = self.runtime.secrets.get(&component.name).cloned();
        let rules = Arc::new(scope.unwrap_or_default());
        if self.keep(component, table) {
            // What the app may read is said elsewhere, and may have changed.
            if let Some(opened) = table.secrets.get_mut(&component.name) {
                opened.rules = rules;
            }
            return Ok(());
        }
        let opened = match (def, plugged) {
            (Some(def), _) => self.open(&def.open, component, table).await?,
            (None, Some(plugged)) => {
                self.open(&|opening| Box::pin(plugged.clone().secret_store(opening)), component, table)
                    .await?
            }
            (None, None) => None,
        };
        let Some((port, _)) = opened else { return Ok(()) };
        table.secrets.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    /// Opens a component of any other block: the list of blocks. Each has a function of its own below.
    async fn open_block(&self, component: &Component, table: &mut Table) -> anyhow::Result<()> {
        let is_secrets = secret_stores::find(&component.kind).is_some();
        if is_secrets || self.keep(component, table) {
            return Ok(());
        }
        if let Some(def) = state::find(&component.kind) {
            self.open_store(&def.open, component, table).await?;
        } else if let Some(def) = pubsub::find(&component.kind) {
            self.open_broker(&def.open, component, table).await?;
        } else if let Some(def) = bindings::find(&component.kind) {
            self.open_binding(&def.open, component, table).await?;
        } else if let Some(def) = configuration::find(&component.kind) {
            self.open_configuration(def, component, table).await?;
        } else if let Some(def) = conversation::find(&component.kind) {
            self.open_conversation(def, component, table).await?;
        } else if let Some(def) = locks::find(&component.kind) {
            self.open_locks(def, component, table).await?;
        } else if let Some(def) = crypto::find(&component.kind) {
            self.open_vault(def, component, table).await?;
        } else if let Some(def) = middleware::find(&component.kind) {
            self.open_middleware(def, component, table).await?;
        } else if let Some(plugged) = self.plugged(component) {
            self.open_plugged(plugged, component, table).await?;
        }
        Ok(())
    }

    /// Takes a component over as it is, if it is open and nothing of it has changed. Whether it was.
    fn keep(&self, component: &Component, table: &mut Table) -> bool {
        let Some(Before { table: open, resources, .. }) = self.before else { return false };
        let same = |one: &Component| {
            resources
                .components
                .iter()
                .any(|known| Component { origin: one.origin.clone(), ..known.clone() } == *one)
        };
        same(component)
            && keeps_secrets(component.secret_store.as_deref(), open, table)
            && table.keep(open, &component.name)
    }

    /// The type that a socket serves, if one does.
    fn plugged(&self, component: &Component) -> Option<&Plugged> {
        self.plugged.iter().find(|plugged| plugged.kind.eq_ignore_ascii_case(&component.kind))
    }

    async fn open_plugged(
        &self,
        plugged: &Plugged,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        match plugged.block {
            Block::State => {
                self.open_store(&|opening| Box::pin(plugged.clone().state_store(opening)), component, table)
                    .await
            }
            Block::PubSub => {
                self.open_broker(&|opening| Box::pin(plugged.clone().pubsub(opening)), component, table).await
            }
            Block::Bindings => {
                self.open_binding(&|opening| Box::pin(plugged.clone().binding(opening)), component, table)
                    .await
            }
            // Opened before all others.
            Block::SecretStores => Ok(()),
        }
    }

    async fn open_store(
        &self,
        open: &Open<'_, dyn StateStore>,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(open, component, table).await? else { return Ok(()) };
        let able = port.capabilities();
        let rules =
            store_rules::rules(component, &settings, self.app, &able).with_context(|| at(component))?;
        table.stores.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, words(&able)));
        Ok(())
    }

    async fn open_broker(
        &self,
        open: &Open<'_, dyn PubSub>,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(open, component, table).await? else { return Ok(()) };
        let rules = Scopes::of(|name| settings.text(name));
        table.brokers.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    async fn open_binding(
        &self,
        open: &Open<'_, dyn Binding>,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(open, component, table).await? else { return Ok(()) };
        let (route, direction) = (settings.text("route"), settings.text("direction"));
        let rules = bound::Rules::of(&component.name, route, direction);
        let able = port.capabilities();
        let words = [("INPUT_BINDING", able.events), ("OUTPUT_BINDING", !able.operations.is_empty())];
        let words = words.into_iter().filter_map(|(word, holds)| holds.then_some(word)).collect();
        table.bindings.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, words));
        Ok(())
    }

    async fn open_configuration(
        &self,
        def: &configuration::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, _)) = self.open(&def.open, component, table).await? else { return Ok(()) };
        table.configuration.insert(component.name.clone(), Opened::new(port, ()));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    async fn open_locks(
        &self,
        def: &locks::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, settings)) = self.open(&def.open, component, table).await? else { return Ok(()) };
        let rules = lock::Rules::of(store_rules::key_prefix(&settings)?, &component.name, self.app);
        table.locks.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    async fn open_vault(
        &self,
        def: &crypto::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, _)) = self.open(&def.open, component, table).await? else { return Ok(()) };
        table.vaults.insert(component.name.clone(), Opened::new(port, ()));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    async fn open_middleware(
        &self,
        def: &middleware::Def,
        component: &Component,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let Some((port, _)) = self.open(&def.open, component, table).await? else { return Ok(()) };
        table.middleware.insert(component.name.clone(), port);
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    /// Whether the configuration keeps this type, or this version of it, from being opened.
    pub(super) fn is_denied(&self, kind: &str, version: &str) -> bool {
        self.runtime.denied_types.iter().any(|denied| match denied.split_once('/') {
            Some((denied, of)) => denied.eq_ignore_ascii_case(kind) && of.eq_ignore_ascii_case(version),
            None => denied.eq_ignore_ascii_case(kind),
        })
    }

    /// Opens a component within its time. `None` for one that cannot be opened and need not be.
    pub(super) async fn open<P: ?Sized>(
        &self,
        open: &Open<'_, P>,
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
            Ok((open(opening).await?, settings))
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
                let missing =
                    Missing { name: component.name.clone(), kind: component.kind.clone(), failure: error };
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(missing);
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| at(component)),
        }
    }
}

fn at(component: &Component) -> String {
    format!("open the component `{}` ({})", component.name, component.origin)
}

pub(super) fn summary(component: &Component, capabilities: Vec<&'static str>) -> Summary {
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
