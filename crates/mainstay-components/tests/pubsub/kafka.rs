//! The rig of Kafka: topics and groups of its own on the shared server, or a server of its own. What stands for a
//! process is a runtime: when it is shut down, everything that the broker has running is gone, as after `kill -9`.

mod own;
mod process;
mod security;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::PubSub;
use mainstay_testkit::conformance::pubsub::{Below, Need, Open, Rig};
use mainstay_testkit::servers::kafka;
use parking_lot::Mutex;

use self::process::Process;
use crate::{Member, Way};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = kafka::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Kafka::open(def, need).await) as Arc<dyn Rig> }));
    Way::new("kafka", open).with(own::trials(def).chain(security::trials(def)).collect()).into()
}

/// Groups that notice soon who has died, but not while a slow machine has other things to do.
const SOON: [(&str, &str); 3] =
    [("sessionTimeout", "3s"), ("heartbeatInterval", "100ms"), ("consumeRetryInterval", "10ms")];

/// A place of its own on a server.
#[derive(Clone)]
struct Place {
    def: &'static Def,
    address: String,
    number: u32,
}

impl Place {
    /// On the shared server.
    async fn shared(def: &'static Def) -> Self {
        let (address, number) = kafka::place(Need::Namespace).await.0;
        Self { def, address, number }
    }

    /// A process that has opened the broker.
    async fn process(&self, more: &[(&str, &str)]) -> Process {
        let settings =
            [&[("brokers", self.address.as_str()), ("authType", "none")], &SOON[..], more].concat();
        Process::open(self.def, &settings, &format!("-{}", self.number)).await
    }

    /// What a topic is called here.
    fn topic(&self, name: &str) -> String {
        format!("{}-{}", name.replace('*', "x"), self.number)
    }
}

struct Kafka {
    place: Place,
    broker: Arc<dyn PubSub>,
    /// The process, and those that were opened beside it: they end with the rig.
    processes: Mutex<Vec<Process>>,
    below: Below,
}

impl Kafka {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((address, number), below) = kafka::place(need).await;
        let place = Place { def, address, number };
        let process = place.process(&[]).await;
        Self { place, broker: process.broker(), processes: Mutex::new(vec![process]), below }
    }
}

#[async_trait]
impl Rig for Kafka {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    fn topic(&self, name: &str) -> String {
        self.place.topic(name)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        let process = self.place.process(&[]).await;
        let broker = process.broker();
        self.processes.lock().push(process);
        Some(broker)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        let killed = self.processes.lock().pop();
        drop(killed);
        self.again().await
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
