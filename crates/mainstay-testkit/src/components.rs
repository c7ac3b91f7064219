//! Components in memory, for tests of what stands on a port and may not know who is behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use mainstay_components::conversation::Endpoint;
use mainstay_components::def::{Def, Opening};
use mainstay_components::settings::Settings;
use mainstay_core::configuration::ConfigurationStore;
use mainstay_core::conversation::Conversation;
use mainstay_core::crypto::KeyVault;
use mainstay_core::embedded::Embedded;
use mainstay_core::lock::LockStore;
use mainstay_core::middleware::Middleware;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};

/// A state store in memory.
///
/// # Panics
/// Never: it needs nothing that could be missing.
pub async fn state_store(clock: &Arc<dyn Clock>) -> Arc<dyn StateStore> {
    open(&mainstay_components::state::in_memory::DEF, clock).await.expect("a store in memory opens")
}

/// A key vault with the keys of [`crate::keys::set`].
///
/// # Panics
/// Never: the keys are well-formed.
pub async fn key_vault(clock: &Arc<dyn Clock>) -> Arc<dyn KeyVault> {
    let set = crate::keys::set();
    let settings = [("jwks", set.as_str())];
    let opened = open_in(&mainstay_components::crypto::jwks::DEF, &settings, Path::new("."), clock).await;
    opened.expect("keys that are given open")
}

/// A handler of requests, by its type.
///
/// # Panics
/// Where there is no such type, or it does not open.
pub async fn middleware(
    kind: &str,
    settings: &[(&str, &str)],
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Middleware> {
    let def = mainstay_components::middleware::find(kind).expect("there is such a type");
    open_in(def, settings, Path::new("."), clock).await.expect("the handler opens")
}

/// The configuration store of a file.
///
/// # Errors
/// Where the file cannot be read.
pub async fn configuration_file(path: &Path, clock: &Arc<dyn Clock>) -> Result<Arc<dyn ConfigurationStore>> {
    let def = &mainstay_components::configuration::embedded::DEF;
    let settings = [("file", path.to_str().unwrap_or_default())];
    open_with(def, &settings, Path::new("."), &NoStores, clock).await
}

/// A conversation component that answers with what it was asked.
///
/// # Panics
/// Never: it needs nothing that could be missing.
pub async fn echo(clock: &Arc<dyn Clock>) -> Arc<dyn Conversation> {
    match &*open(&mainstay_components::conversation::echo::DEF, clock).await.expect("it opens") {
        Endpoint::Own(own) => Arc::clone(own),
        Endpoint::Vendor(vendor) => unreachable!("it has no vendor, and this is {}", vendor.provider),
        Endpoint::Model(model) => unreachable!("it is no model of a spec, and this is {model}"),
    }
}

/// A lock store in memory.
///
/// # Panics
/// Never: it needs nothing that could be missing.
pub async fn lock_store(clock: &Arc<dyn Clock>) -> Arc<dyn LockStore> {
    let (def, stores) = (&mainstay_components::locks::embedded::DEF, StoresInMemory::new(clock));
    open_with(def, &[], Path::new("."), &stores, clock).await.expect("a store in memory opens")
}

/// Opens a component without settings, for no app, in the present folder. There are no stores inside the process.
///
/// # Errors
/// Those of the component's type.
pub async fn open<P: ?Sized>(def: &Def<P>, clock: &Arc<dyn Clock>) -> Result<Arc<P>> {
    open_with(def, &[], Path::new("."), &NoStores, clock).await
}

/// Opens a component with settings, in a folder. There are no stores inside the process.
///
/// # Errors
/// Those of the component's type.
///
/// # Panics
/// Where its settings have a fault.
pub async fn open_in<P: ?Sized>(
    def: &Def<P>,
    settings: &[(&str, &str)],
    folder: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<P>> {
    open_with(def, settings, folder, &NoStores, clock).await
}

/// Opens a component of the type's first version as the process does: from the text of its settings.
///
/// # Errors
/// Those of the component's type.
///
/// # Panics
/// Where its settings have a fault.
pub async fn open_with<P: ?Sized>(
    def: &Def<P>,
    settings: &[(&str, &str)],
    folder: &Path,
    embedded: &dyn Embedded,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<P>> {
    open_version(def, def.versions.first().copied().unwrap_or_default(), settings, folder, embedded, clock)
        .await
}

/// Opens a component of this version of the type, as [`open_with`].
///
/// # Errors
/// Those of the component's type.
///
/// # Panics
/// Where its settings have a fault.
pub async fn open_version<P: ?Sized>(
    def: &Def<P>,
    version: &str,
    settings: &[(&str, &str)],
    folder: &Path,
    embedded: &dyn Embedded,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<P>> {
    let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let settings = Settings::new(pairs);
    assert_eq!((def.check)(&settings), [], "the settings are valid");
    let opening = Opening {
        name: "test",
        version,
        app_id: "",
        settings: &settings,
        folder,
        embedded,
        clock,
        client: &Client::new(ClientOptions::default()),
    };
    (def.open)(opening).await
}

/// Stores inside the process, in memory: by name, the same one at each opening.
pub struct StoresInMemory {
    clock: Arc<dyn Clock>,
    stores: Mutex<BTreeMap<String, Arc<dyn StateStore>>>,
}

impl StoresInMemory {
    /// None yet.
    #[must_use]
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), stores: Mutex::default() }
    }
}

impl std::fmt::Debug for StoresInMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoresInMemory")
    }
}

impl Embedded for StoresInMemory {
    fn state_store(&self, name: &str) -> Result<Arc<dyn StateStore>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || state_store(&self.clock).now_or_never().expect("a store in memory waits for nothing");
        Ok(Arc::clone(stores.entry(name.to_owned()).or_insert_with(new)))
    }

    fn pubsub(&self, name: &str) -> Result<Arc<dyn PubSub>> {
        NoStores.pubsub(name)
    }
}

/// No stores inside the process.
#[derive(Clone, Copy, Debug)]
pub struct NoStores;

impl Embedded for NoStores {
    fn state_store(&self, _: &str) -> Result<Arc<dyn StateStore>> {
        Err(Error::new(&codes::UNSUPPORTED, "open a durable store: a test has none"))
    }

    fn pubsub(&self, _: &str) -> Result<Arc<dyn PubSub>> {
        Err(Error::new(&codes::UNSUPPORTED, "open a durable broker: a test has none"))
    }
}
