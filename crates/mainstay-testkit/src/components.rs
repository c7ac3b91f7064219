//! Components in memory, for tests of what stands on a port and may not know who is behind it.

use std::path::Path;
use std::sync::Arc;

use mainstay_components::def::{Def, Opening};
use mainstay_components::settings::Settings;
use mainstay_core::embedded::Embedded;
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

/// Opens a component without settings, for no app, in the present folder. There are no stores inside the process.
///
/// # Errors
/// Those of the component's type.
pub async fn open<P: ?Sized>(def: &Def<P>, clock: &Arc<dyn Clock>) -> Result<Arc<P>> {
    let opening = Opening {
        name: "test",
        version: def.versions.first().copied().unwrap_or_default(),
        app_id: "",
        settings: &Settings::default(),
        folder: Path::new("."),
        embedded: &NoStores,
        clock,
        client: &Client::new(ClientOptions::default()),
    };
    (def.open)(opening).await
}

/// Opens a component of a type's first version with these settings, for no app. There are no stores inside the process.
///
/// # Errors
/// Those of the component's type.
///
/// # Panics
/// Where the settings have a fault.
pub async fn open_with<P: ?Sized>(
    def: &Def<P>,
    settings: &[(&str, &str)],
    folder: &Path,
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
