//! The components that are open to the app beside us. A reload swaps the whole table; calls at work keep theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use mainstay_core::callback::AppCallback;
use mainstay_core::meter::Meter;
use mainstay_core::middleware::Middleware;
use mainstay_core::pubsub::PubSub;
use mainstay_core::resiliency::Direction;
use mainstay_core::subscription::Subscription;
use mainstay_core::{Clock, Error, Result, codes};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::configuration::Watches;
use crate::layers::{AppGuard, Guard, Layers};
use crate::middleware::Pipeline;
use crate::pubsub::{Known, Noted, Scopes, Sort};
use crate::state::Store;

/// The app beside us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Its id; empty without an app.
    pub id: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
}

/// What is open.
#[derive(Default)]
pub struct Table {
    /// State stores by name.
    pub stores: BTreeMap<String, Store>,
    /// Brokers by name.
    pub brokers: BTreeMap<String, Broker>,
    /// Secret stores by name.
    pub secrets: BTreeMap<String, crate::secrets::Store>,
    /// Key vaults by name.
    pub vaults: BTreeMap<String, crate::crypto::Vault>,
    /// What requests can pass through, by name.
    pub middleware: BTreeMap<String, Arc<dyn Middleware>>,
    /// What requests to us pass through.
    pub inbound: Pipeline,
    /// What calls to the app pass through.
    pub toward_app: Pipeline,
    /// Bindings by name.
    pub bindings: BTreeMap<String, crate::bindings::Binding>,
    /// Configuration stores by name.
    pub configuration: BTreeMap<String, crate::configuration::Store>,
    /// Conversation components by name.
    pub conversations: BTreeMap<String, crate::conversation::Component>,
    /// Lock stores by name.
    pub locks: BTreeMap<String, crate::lock::Store>,
    /// Every component in the order of the files, for whoever asks what there is.
    pub summaries: Vec<Summary>,
    /// Components that could not be opened, and need not be.
    pub missing: Vec<Missing>,
    /// What stands around calls.
    pub layers: Layers,
}

impl Table {
    /// Puts around the calls of each component what is asked for it. To add a block: its line.
    pub fn guard(&mut self, layers: Layers) {
        guard_all(&mut self.stores, &layers, "Statestore");
        guard_all(&mut self.brokers, &layers, "Pubsub");
        guard_all(&mut self.secrets, &layers, "Secretstore");
        guard_all(&mut self.bindings, &layers, "Binding");
        guard_all(&mut self.configuration, &layers, "Configuration");
        guard_all(&mut self.conversations, &layers, "Conversation");
        guard_all(&mut self.locks, &layers, "Lock");
        guard_all(&mut self.vaults, &layers, "Crypto");
        self.layers = layers;
    }

    /// Takes over a component of another table as it is, of whatever block. Whether it is open there. To add a block:
    /// its line.
    pub fn keep(&mut self, from: &Self, name: &str) -> bool {
        let kept = [
            keep(&mut self.stores, &from.stores, name),
            keep(&mut self.brokers, &from.brokers, name),
            keep(&mut self.secrets, &from.secrets, name),
            keep(&mut self.bindings, &from.bindings, name),
            keep(&mut self.configuration, &from.configuration, name),
            keep(&mut self.conversations, &from.conversations, name),
            keep(&mut self.locks, &from.locks, name),
            keep(&mut self.vaults, &from.vaults, name),
            keep(&mut self.middleware, &from.middleware, name),
        ];
        self.summaries.extend(from.summaries.iter().find(|summary| summary.name == name).cloned());
        kept.contains(&true)
    }
}

/// `block` is the building block as names of policies have it.
fn guard_all<P: ?Sized, R>(opened: &mut BTreeMap<String, Opened<P, R>>, layers: &Layers, block: &str) {
    for (name, opened) in opened {
        opened.guard = layers.component(name, block, Direction::Outbound);
        opened.inbound = layers.component(name, block, Direction::Inbound);
    }
}

fn keep<T: Clone>(to: &mut BTreeMap<String, T>, from: &BTreeMap<String, T>, name: &str) -> bool {
    let Some(opened) = from.get(name) else { return false };
    to.insert(name.to_owned(), opened.clone());
    true
}

/// A broker that is open.
pub type Broker = Opened<dyn PubSub, Scopes>;

/// A component that is open, and the rules for it.
pub struct Opened<P: ?Sized, R> {
    /// Its port.
    pub port: Arc<P>,
    /// Its rules.
    pub rules: R,
    /// What stands around its calls.
    pub guard: Guard,
    /// What stands around what comes from it to the app.
    pub inbound: Guard,
}

impl<P: ?Sized, R> Opened<P, R> {
    /// A component of which nothing is asked besides.
    #[must_use]
    pub fn new(port: Arc<P>, rules: R) -> Self {
        Self { port, rules, guard: Guard::default(), inbound: Guard::default() }
    }
}

impl<P: ?Sized, R: Clone> Clone for Opened<P, R> {
    fn clone(&self) -> Self {
        Self {
            port: Arc::clone(&self.port),
            rules: self.rules.clone(),
            guard: self.guard.clone(),
            inbound: self.inbound.clone(),
        }
    }
}

/// A component that could not be opened.
#[derive(Debug)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Why.
    pub failure: Error,
}

/// A component, as whoever asks what there is sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// The version of its settings.
    pub version: String,
    /// What it can do, in the protocol's words.
    pub capabilities: Vec<&'static str>,
}

/// The hub; cheap to clone.
#[derive(Clone)]
pub struct Blocks(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) app: App,
    pub(crate) clock: Arc<dyn Clock>,
    table: ArcSwap<Table>,
    /// Told at each new table.
    reloads: watch::Sender<()>,
    callback: OnceLock<Arc<dyn AppCallback>>,
    meter: OnceLock<Arc<dyn Meter>>,
    watches: Arc<Watches>,
    known: Known,
    /// Set by the app: names and values that whoever asks about us sees.
    extended: AsyncMutex<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("app", &self.0.app).finish_non_exhaustive()
    }
}

impl Blocks {
    /// A hub for an app.
    #[must_use]
    pub fn new(app: App, clock: Arc<dyn Clock>, table: Table) -> Self {
        Self(Arc::new(Inner {
            app,
            clock,
            table: ArcSwap::from_pointee(table),
            reloads: watch::Sender::new(()),
            callback: OnceLock::new(),
            meter: OnceLock::new(),
            watches: Arc::default(),
            known: Known::default(),
            extended: AsyncMutex::default(),
        }))
    }

    /// Takes a new table.
    pub fn reload(&self, table: Table) {
        self.0.table.store(Arc::new(table));
        self.0.reloads.send_replace(());
    }

    /// The app beside us.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// What is open now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.0.table.load_full()
    }

    /// Sees each new table.
    pub(crate) fn reloads(&self) -> watch::Receiver<()> {
        self.0.reloads.subscribe()
    }

    /// Says how the app beside us is called; the first word holds.
    pub fn meet(&self, app: Arc<dyn AppCallback>) {
        let _ = self.0.callback.set(app);
    }

    /// Says to whom calls are reported; the first word holds.
    pub fn measure(&self, meter: Arc<dyn Meter>) {
        let _ = self.0.meter.set(meter);
    }

    /// To whom calls are reported, if to anybody.
    #[must_use]
    pub fn meter(&self) -> Option<&Arc<dyn Meter>> {
        self.0.meter.get()
    }

    /// The app beside us, once it was said how it is called.
    pub(crate) fn callback(&self) -> Option<Arc<dyn AppCallback>> {
        self.0.callback.get().cloned()
    }

    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.0.watches
    }

    /// Ends every watch of configuration, and those that would begin: the process is about to end.
    pub fn end_watches(&self) {
        self.0.watches.end_all();
    }

    /// What stands around calls of an app, or of an external service, at one of its endpoints.
    #[must_use]
    pub fn app_guard(&self, app: &str, endpoint: &str) -> AppGuard {
        self.0.table.load().layers.app(app, endpoint)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// Says that a subscription is at work, until what this gives is dropped.
    #[must_use]
    pub fn note(&self, subscription: &Subscription, sort: Sort) -> Noted {
        self.0.known.note(subscription.clone(), sort)
    }

    /// The subscriptions at work, in the order in which they began.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(Subscription, Sort)> {
        self.0.known.all()
    }

    /// What the app has said about itself.
    pub async fn extended(&self) -> BTreeMap<String, String> {
        self.0.extended.lock().await.clone()
    }

    /// Keeps what the app says about itself. Errors: `INVALID_FIELD` beyond [`EXTENDED_MAX`] names.
    pub async fn extend(&self, name: String, value: String) -> Result<()> {
        let mut extended = self.0.extended.lock().await;
        if extended.len() >= EXTENDED_MAX && !extended.contains_key(&name) {
            let message = format!("keep `{name}`: there are {EXTENDED_MAX} names already");
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        extended.insert(name, value);
        Ok(())
    }
}

/// Names that the app can set.
pub const EXTENDED_MAX: usize = 256;

/// The error for a component that is not there.
pub(crate) fn not_found(block: &str, name: &str) -> Error {
    Error::new(&codes::COMPONENT_NOT_FOUND, format!("no {block} is called `{name}`"))
        .with_help("compare the name with `metadata.name` in the component's file")
}
