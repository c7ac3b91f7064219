//! The rig of locks inside the process, over a store in memory whose clock is moved by hand. The durable store beneath
//! them has a suite of its own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::locks::Def;
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_core::lock::LockStore;
use mainstay_testkit::components::{StoresInMemory, open_with};
use mainstay_testkit::conformance::lock::{Open, Rig};

use crate::{Member, Way, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    Way::new("embedded", open(def)).without(no_server()).into()
}

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let stores = StoresInMemory::new(&shown);
            let store = open_with(def, &[], Path::new("."), &stores, &shown).await.unwrap();
            Arc::new(Embedded { def, stores, store, clock }) as Arc<dyn Rig>
        })
    })
}

struct Embedded {
    def: &'static Def,
    stores: StoresInMemory,
    store: Arc<dyn LockStore>,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Rig for Embedded {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Arc<dyn LockStore> {
        let shown: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        open_with(self.def, &[], Path::new("."), &self.stores, &shown).await.unwrap()
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }
}
