//! The rig of the broker in memory. Its clock is moved by hand.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::def::Opening;
use mainstay_components::pubsub::Def;
use mainstay_components::settings::Settings;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_testkit::conformance::pubsub::{Open, Rig};

use crate::{Member, Way, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    Member::Ways(vec![Way { name: "in-memory", open: open(def), not_run: no_server() }])
}

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let opening = Opening {
                name: "rig",
                version: "v1",
                app_id: "app",
                settings: &Settings::default(),
                folder: Path::new("."),
                embedded: &NoneInside,
                clock: &shown,
                client: &Client::new(ClientOptions::default()),
            };
            let broker = (def.open)(opening).await.unwrap();
            Arc::new(Memory { broker, clock }) as Arc<dyn Rig>
        })
    })
}

struct Memory {
    broker: Arc<dyn PubSub>,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Rig for Memory {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }
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
