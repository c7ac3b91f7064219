//! Our host against our own provider.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Trial;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use mainstay_grpc::Provider;
use mainstay_net::server::serve_unix;
use mainstay_testkit::components;
use mainstay_testkit::conformance::{pubsub, state};
use mainstay_testkit::servers::below::{Below, Outage};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::{Surroundings, plugged};

pub(crate) fn trials() -> Vec<Trial> {
    let states: state::Open =
        Arc::new(|_| Box::pin(async move { Arc::new(Rig::open().await) as Arc<dyn state::Rig> }));
    let brokers: pubsub::Open =
        Arc::new(|_| Box::pin(async move { Arc::new(Rig::open().await) as Arc<dyn pubsub::Rig> }));
    let frozen = [(
        "a_server_that_does_not_answer_is_given_up_at_the_deadline",
        "the provider is in this process, which does not freeze itself",
    )];
    let mut trials = state::trials("state", &states, &frozen);
    trials.extend(pubsub::trials("pubsub", &brokers, &frozen));
    trials
}

/// Stores in memory, by name, that outlive the provider in front of them.
struct Kept {
    stores: Mutex<BTreeMap<String, Arc<dyn StateStore>>>,
    brokers: Mutex<BTreeMap<String, Arc<dyn PubSub>>>,
}

impl Kept {
    async fn with(name: &str, clock: &Arc<dyn Clock>) -> Self {
        let store = components::state_store(clock).await;
        let broker = components::open(&mainstay_components::pubsub::in_memory::DEF, clock).await.unwrap();
        Self {
            stores: Mutex::new(BTreeMap::from([(name.to_owned(), store)])),
            brokers: Mutex::new(BTreeMap::from([(name.to_owned(), broker)])),
        }
    }
}

impl Embedded for Kept {
    fn state_store(&self, name: &str) -> Result<Arc<dyn StateStore>> {
        let found = self.stores.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| Error::new(&codes::INTERNAL, "another instance"))
    }

    fn pubsub(&self, name: &str) -> Result<Arc<dyn PubSub>> {
        let found = self.brokers.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| Error::new(&codes::INTERNAL, "another instance"))
    }
}

/// A provider on a socket, and an instance of each of its types.
struct Rig {
    store: Arc<dyn StateStore>,
    broker: Arc<dyn PubSub>,
    clock: Arc<ManualClock>,
    serving: Arc<Serving>,
}

/// What answers at the socket.
struct Serving {
    kept: Arc<Kept>,
    folder: tempfile::TempDir,
    present: Mutex<Option<(CancellationToken, tokio::task::JoinHandle<()>)>>,
}

const NAME: &str = "orders";

impl Rig {
    async fn open() -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let kept = Arc::new(Kept::with(NAME, &shown).await);
        let folder = tempfile::tempdir().unwrap();
        let present = Mutex::new(Some(serve(&folder, &kept)));
        let (store, broker) = connect(folder.path().to_owned()).await;
        Self { store, broker, clock, serving: Arc::new(Serving { kept, folder, present }) }
    }

    fn folder(&self) -> PathBuf {
        self.serving.folder.path().to_owned()
    }
}

#[async_trait]
impl Outage for Serving {
    async fn stop(&self) {
        let present = self.present.lock().unwrap().take();
        let (stop, task) = present.expect("it is served");
        stop.cancel();
        task.await.unwrap();
        std::fs::remove_file(self.folder.path().join("memo.sock")).unwrap();
    }

    async fn start(&self) {
        *self.present.lock().unwrap() = Some(serve(&self.folder, &self.kept));
    }
}

fn serve(folder: &tempfile::TempDir, kept: &Arc<Kept>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = UnixListener::bind(folder.path().join("memo.sock")).unwrap();
    let provider = Provider::new(Arc::clone(kept) as Arc<dyn Embedded>);
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve_unix(listener, provider, 100, Duration::from_millis(100), stop.clone()));
    (stop, task)
}

async fn connect(folder: PathBuf) -> (Arc<dyn StateStore>, Arc<dyn PubSub>) {
    let around = Surroundings::new(NAME);
    let store = plugged(&folder, "state.memo").await.state_store(around.opening()).await.unwrap();
    let broker = plugged(&folder, "pubsub.memo").await.pubsub(around.opening()).await.unwrap();
    (store, broker)
}

#[async_trait]
impl state::Rig for Rig {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        Some(connect(self.folder()).await.0)
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }

    fn below(&self) -> Below {
        Below::with(Arc::clone(&self.serving) as _)
    }
}

#[async_trait]
impl pubsub::Rig for Rig {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(connect(self.folder()).await.1)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }

    fn below(&self) -> Below {
        Below::with(Arc::clone(&self.serving) as _)
    }
}
