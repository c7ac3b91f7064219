//! Pluggable components through real sockets: our host against our own provider runs the suites of state stores and
//! brokers; against a stand-in, those of bindings and secret stores.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod provided;
mod stand_in;

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mainstay_components::def::Opening;
use mainstay_components::pluggable::{Plugged, discover};
use mainstay_components::settings::Settings;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(16);
    let trials: Vec<Trial> = provided::trials().into_iter().chain(stand_in::trials()).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// The type of this name that a folder's sockets serve.
async fn plugged(folder: &Path, kind: &str) -> Plugged {
    let found = discover(folder).await.unwrap();
    assert!(found.silent.is_empty(), "{:?}", found.silent);
    let types: Vec<String> = found.types.iter().map(|plugged| plugged.kind.clone()).collect();
    let plugged = found.types.into_iter().find(|plugged| plugged.kind == kind);
    plugged.unwrap_or_else(|| panic!("`{kind}` is among {types:?}"))
}

/// What an instance is opened with.
struct Surroundings {
    name: String,
    settings: Settings,
    clock: Arc<dyn Clock>,
    client: Client,
}

impl Surroundings {
    fn new(name: &str) -> Self {
        let client = Client::new(ClientOptions::default());
        Self { name: name.to_owned(), settings: Settings::default(), clock: Arc::new(SystemClock), client }
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            name: &self.name,
            version: "v1",
            app_id: "app",
            settings: &self.settings,
            folder: Path::new("."),
            embedded: &NoneInside,
            clock: &self.clock,
            client: &self.client,
        }
    }
}

struct NoneInside;

impl Embedded for NoneInside {
    fn state_store(&self, _: &str) -> Result<Arc<dyn StateStore>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no store inside this test"))
    }

    fn pubsub(&self, _: &str) -> Result<Arc<dyn PubSub>> {
        Err(Error::new(&codes::UNSUPPORTED, "there is no broker inside this test"))
    }
}
