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
use mainstay_testkit::conformance::lock::{Below, Need, Open, Rig};
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
    def: &'static Def,
    host: String,
    database: String,
    store: Arc<dyn LockStore>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let store = connect(def, &host, &database).await;
        Self { def, host, database, store, below }
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

    fn below(&self) -> Below {
        self.below.clone()
    }
}
