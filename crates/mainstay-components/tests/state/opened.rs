//! Opening a type of component as the process does: from the text of its settings.

use std::path::Path;
use std::sync::Arc;

use mainstay_components::def::Opening;
use mainstay_components::settings::Settings;
use mainstay_components::state::Def;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};

/// Opens one of the type's first version. Panics where its settings have a fault.
pub(crate) async fn open(
    def: &Def,
    settings: &[(&str, &str)],
    folder: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn StateStore>> {
    open_version(def, def.versions[0], settings, folder, clock).await
}

/// Opens one. Panics where its settings have a fault.
pub(crate) async fn open_version(
    def: &Def,
    version: &str,
    settings: &[(&str, &str)],
    folder: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn StateStore>> {
    let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let settings = Settings::new(pairs);
    assert_eq!((def.check)(&settings), [], "the rig's settings are valid");
    let client = Client::new(ClientOptions::default());
    let opening = Opening {
        name: "rig",
        version,
        app_id: "app",
        settings: &settings,
        folder,
        embedded: &NoneInside,
        clock,
        client: &client,
    };
    (def.open)(opening).await
}

/// No store inside the process: what is opened here has its own.
struct NoneInside;

impl Embedded for NoneInside {
    fn state_store(&self, _name: &str) -> Result<Arc<dyn StateStore>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no store inside this test"))
    }

    fn pubsub(&self, _name: &str) -> Result<Arc<dyn PubSub>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no broker inside this test"))
    }
}
