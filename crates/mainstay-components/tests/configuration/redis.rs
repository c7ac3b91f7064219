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
use mainstay_testkit::conformance::configuration::{Below, Need, Open, Rig};
use mainstay_testkit::servers::redis;

use crate::{Member, Way};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    Way::new("redis", open).into()
}

struct Redis {
    host: String,
    database: String,
    store: Arc<dyn ConfigurationStore>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = [("redisHost", host.as_str()), ("redisDB", database.as_str())];
        let store = open_with(def, &settings, Path::new("."), &NoStores, &clock).await.unwrap();
        Self { host, database, store, below }
    }

    /// An operator's own connection.
    async fn bare(&self) -> MultiplexedConnection {
        let client = ::redis::Client::open(format!("redis://{}/{}", self.host, self.database)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
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

    fn below(&self) -> Below {
        self.below.clone()
    }
}
