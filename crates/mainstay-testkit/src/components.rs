//! Components in memory, for tests of what stands on a port and may not know who is behind it.

use std::path::Path;
use std::sync::Arc;

use mainstay_components::def::{Def, Opening};
use mainstay_components::settings::Settings;
use mainstay_core::crypto::KeyVault;
use mainstay_core::embedded::Embedded;
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
    let opened = open_with(&mainstay_components::crypto::jwks::DEF, &settings, Path::new("."), clock).await;
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
    open_with(def, settings, Path::new("."), clock).await.expect("the handler opens")
}

/// Opens a component without settings, for no app, in the present folder. There are no stores inside the process.
///
/// # Errors
/// Those of the component's type.
pub async fn open<P: ?Sized>(def: &Def<P>, clock: &Arc<dyn Clock>) -> Result<Arc<P>> {
    open_with(def, &[], Path::new("."), clock).await
}

/// Opens a component with settings, in a folder.
///
/// # Errors
/// Those of the component's type.
///
/// # Panics
/// Where the type finds a fault in the settings.
pub async fn open_with<P: ?Sized>(
    def: &Def<P>,
    settings: &[(&str, &str)],
    folder: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<P>> {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let settings = Settings::new(settings);
    let faults = (def.check)(&settings);
    assert!(faults.is_empty(), "{faults:?}");
    let opening = Opening {
        name: "test",
        version: def.versions.first().copied().unwrap_or_default(),
        app_id: "",
        settings: &settings,
        folder,
        embedded: &NoStores,
        clock,
        client: &Client::new(ClientOptions::default()),
    };
    (def.open)(opening).await
}

struct NoStores;

impl Embedded for NoStores {
    fn state_store(&self, _: &str) -> Result<Arc<dyn StateStore>> {
        Err(Error::new(&codes::UNSUPPORTED, "open a durable store: a test has none"))
    }

    fn pubsub(&self, _: &str) -> Result<Arc<dyn PubSub>> {
        Err(Error::new(&codes::UNSUPPORTED, "open a durable broker: a test has none"))
    }
}
