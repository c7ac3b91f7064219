//! Components in memory, for tests of what stands on a port and may not know who is behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use mainstay_components::def::{Def, Opening};
use mainstay_components::settings::Settings;
use mainstay_core::embedded::Embedded;
use mainstay_core::lock::LockStore;
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
    let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let settings = Settings::new(pairs);
    assert_eq!((def.check)(&settings), [], "the settings are valid");
    let opening = Opening {
        name: "test",
        version: def.versions.first().copied().unwrap_or_default(),
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
