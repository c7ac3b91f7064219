//! The rig of the broker in memory. Its clock is moved by hand.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::pubsub::Def;
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_core::pubsub::PubSub;
use mainstay_testkit::components;
use mainstay_testkit::conformance::pubsub::{Open, Rig};

use crate::{Member, Way, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    Way::new("in-memory", open(def)).without(no_server()).into()
}

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let broker = components::open(def, &shown).await.unwrap();
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
