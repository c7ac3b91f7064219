//! The rigs of Redis: a database of its own on the shared server, names of its own on the shared cluster, or a server
//! or a cluster of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_components::locks::Def;
use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::{Clock, Ctx, Result};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};
use mainstay_testkit::conformance::lock::{Below, Need, Open, Rig};
use mainstay_testkit::servers::redis::{self, cluster};

use crate::{Member, Way};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    let on_cluster: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Redis::open_cluster(def, need).await) as Arc<dyn Rig> })
    });
    Member::Ways(vec![Way::new("redis", open), Way::new("redis-cluster", on_cluster)])
}

struct Redis {
    def: &'static Def,
    settings: Vec<(&'static str, String)>,
    /// What names of locks begin with, where there is but one database.
    prefix: String,
    store: Arc<dyn LockStore>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let settings = vec![("redisHost", host), ("redisDB", database)];
        Self::with(def, settings, String::new(), below).await
    }

    async fn open_cluster(def: &'static Def, need: Need) -> Self {
        let ((hosts, name), below) = cluster::place(need).await;
        let settings = vec![("redisHost", hosts), ("redisType", "cluster".to_owned())];
        Self::with(def, settings, name, below).await
    }

    async fn with(
        def: &'static Def,
        settings: Vec<(&'static str, String)>,
        prefix: String,
        below: Below,
    ) -> Self {
        let store = connect(def, &settings, &prefix).await;
        Self { def, settings, prefix, store, below }
    }
}

async fn connect(def: &Def, settings: &[(&str, String)], prefix: &str) -> Arc<dyn LockStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let inner = open_with(def, &settings, Path::new("."), &NoStores, &clock).await.unwrap();
    Arc::new(Named { inner, prefix: prefix.to_owned() })
}

/// The store, whose locks all begin with a name.
struct Named {
    inner: Arc<dyn LockStore>,
    prefix: String,
}

#[async_trait]
impl LockStore for Named {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.inner.ready(ctx).await
    }

    async fn try_lock(&self, ctx: &Ctx, name: &str, owner: &str, time: Duration) -> Result<bool> {
        self.inner.try_lock(ctx, &format!("{}{name}", self.prefix), owner, time).await
    }

    async fn unlock(&self, ctx: &Ctx, name: &str, owner: &str) -> Result<Unlocked> {
        self.inner.unlock(ctx, &format!("{}{name}", self.prefix), owner).await
    }
}

#[async_trait]
impl Rig for Redis {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Arc<dyn LockStore> {
        connect(self.def, &self.settings, &self.prefix).await
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
