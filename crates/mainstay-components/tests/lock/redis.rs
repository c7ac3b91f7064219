//! The rig of Redis: a database of its own on the shared server, or a server of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_components::locks::Def;
use mainstay_core::Clock;
use mainstay_core::lock::LockStore;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};
use mainstay_testkit::conformance::lock::{Need, Open, Rig};
use mainstay_testkit::servers::{Server, redis};

use crate::Member;

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    Member::Rig(open, Vec::new())
}

struct Redis {
    def: &'static Def,
    host: String,
    database: String,
    store: Arc<dyn LockStore>,
    own: Option<Arc<Server>>,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let server = tokio::task::spawn_blocking(move || match need {
            Need::Namespace => (redis::database(), None),
            Need::Server => {
                let server = redis::RECIPE.start();
                ((format!("127.0.0.1:{}", server.port()), 0), Some(Arc::new(server)))
            }
        });
        let ((host, database), own) = server.await.unwrap();
        let database = database.to_string();
        let store = connect(def, &host, &database).await;
        Self { def, host, database, store, own }
    }

    async fn server(&self, act: fn(&Server)) {
        let server = Arc::clone(self.own.as_ref().expect("the check asked for a server of its own"));
        tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
    }
}

async fn connect(def: &Def, host: &str, database: &str) -> Arc<dyn LockStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = [("redisHost", host), ("redisDB", database)];
    open_with(def, &settings, Path::new("."), &NoStores, &clock).await.unwrap()
}

#[async_trait]
impl Rig for Redis {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Arc<dyn LockStore> {
        connect(self.def, &self.host, &self.database).await
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn stop(&self) {
        self.server(Server::stop).await;
    }

    async fn start(&self) {
        self.server(Server::start).await;
    }

    async fn freeze(&self) {
        self.server(Server::freeze).await;
    }

    async fn thaw(&self) {
        self.server(Server::thaw).await;
    }
}
