//! The rig of Redis: a database of its own on the shared server, or a server of its own.

use std::path::Path;
use std::sync::Arc;

use ::redis::AsyncCommands as _;
use ::redis::aio::MultiplexedConnection;
use async_trait::async_trait;
use mainstay_components::configuration::Def;
use mainstay_core::Clock;
use mainstay_core::configuration::ConfigurationStore;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};
use mainstay_testkit::conformance::configuration::{Need, Open, Rig};
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
    host: String,
    database: u32,
    store: Arc<dyn ConfigurationStore>,
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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let number = database.to_string();
        let settings = [("redisHost", host.as_str()), ("redisDB", number.as_str())];
        let store = open_with(def, &settings, Path::new("."), &NoStores, &clock).await.unwrap();
        Self { host, database, store, own }
    }

    /// An operator's own connection.
    async fn bare(&self) -> MultiplexedConnection {
        let client = ::redis::Client::open(format!("redis://{}/{}", self.host, self.database)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn server(&self, act: fn(&Server)) {
        let server = Arc::clone(self.own.as_ref().expect("the check asked for a server of its own"));
        tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
    }
}

#[async_trait]
impl Rig for Redis {
    fn store(&self) -> Arc<dyn ConfigurationStore> {
        Arc::clone(&self.store)
    }

    async fn set(&self, key: &str, value: &str, version: &str) {
        let text = if version.is_empty() { value.to_owned() } else { format!("{value}||{version}") };
        let () = self.bare().await.set(key, text).await.unwrap();
    }

    async fn remove(&self, key: &str) {
        let () = self.bare().await.del(key).await.unwrap();
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
