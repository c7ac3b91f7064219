//! Opening a type of component as the process does: from the text of its settings.

use std::path::Path;
use std::sync::Arc;

use mainstay_components::def::Opening;
use mainstay_components::pubsub::Def;
use mainstay_components::settings::Settings;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;

/// Opens one of the type's first version. Panics where its settings have a fault.
pub(crate) async fn open(def: &Def, settings: &[(&str, &str)]) -> Result<Arc<dyn PubSub>> {
    let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let settings = Settings::new(pairs);
    assert_eq!((def.check)(&settings), [], "the rig's settings are valid");
    let (client, clock) = (Client::new(ClientOptions::default()), Arc::new(SystemClock) as Arc<dyn Clock>);
    let opening = Opening {
        name: "rig",
        version: def.versions[0],
        app_id: "app",
        settings: &settings,
        folder: Path::new("."),
        embedded: &NoneInside,
        clock: &clock,
        client: &client,
    };
    (def.open)(opening).await
}

/// Nothing inside the process: what is opened here has its own.
struct NoneInside;

impl Embedded for NoneInside {
    fn state_store(&self, _name: &str) -> Result<Arc<dyn StateStore>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no store inside this test"))
    }

    fn pubsub(&self, _name: &str) -> Result<Arc<dyn PubSub>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no broker inside this test"))
    }
}
