//! The rig of the store in memory. Its clock is moved by hand.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::state::Def;
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_core::state::StateStore;
use mainstay_testkit::components::open_in;
use mainstay_testkit::conformance::state::{Open, Rig};

use crate::{Member, Way, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    Way::new("in-memory", open(def)).without(no_server()).into()
}

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let store = open_in(def, &[], Path::new("."), &shown).await.unwrap();
            Arc::new(Memory { store, clock }) as Arc<dyn Rig>
        })
    })
}

struct Memory {
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Rig for Memory {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        None
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }
}
