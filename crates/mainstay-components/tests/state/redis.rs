//! The rig of Redis: a database of its own on the shared server, or a server of its own.

mod cluster;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::redis::AsyncCommands as _;
use async_trait::async_trait;
use mainstay_components::state::Def;
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Clock, Ctx};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::open_in;
use mainstay_testkit::conformance::state::{Below, Need, Open, Rig};
use mainstay_testkit::servers::redis;

use crate::{Member, Way, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    let own = vec![
        own("redis::the_layout_is_that_of_dapr", move || layout(def)),
        own("redis::a_request_without_a_time_gets_that_of_the_settings", move || default_time(def)),
    ];
    let ways = std::iter::once(Way::new("redis", open).with(own)).chain(cluster::ways(def));
    Member::Ways(ways.collect())
}

async fn layout(def: &'static Def) {
    let (host, database) = redis::database();
    let client = ::redis::Client::open(format!("redis://{host}/{database}")).unwrap();
    let mut bare = client.get_multiplexed_async_connection().await.unwrap();
    let store = connect(def, &host, &database.to_string(), &[]).await;
    // As another sidecar writes it, a first write included.
    let written = [("data", "{\"a\":1}"), ("version", "7"), ("first-write", "0")];
    let () = bare.hset_multiple("app||k", &written).await.unwrap();
    let entry = store.get(&Ctx::system(), "app||k").await.unwrap().unwrap();
    assert_eq!((entry.value.as_ref(), entry.etag.as_str()), (br#"{"a":1}"#.as_ref(), "7"));
    store.apply(&Ctx::system(), set("app||k", Precondition::Etag("7".to_owned()))).await.unwrap();
    let fields: (String, u64) = bare.hmget("app||k", &["data", "version"]).await.unwrap();
    assert_eq!(fields, ("v".to_owned(), 8));
    // A new key's version is a number that others can count on.
    store.apply(&Ctx::system(), set("app||n", Precondition::Absent)).await.unwrap();
    let fields: (String, u64) = bare.hmget("app||n", &["data", "version"]).await.unwrap();
    assert!(fields.0 == "v" && fields.1 > 1, "{fields:?}");
}

async fn default_time(def: &'static Def) {
    let (host, database) = redis::database();
    let store = connect(def, &host, &database.to_string(), &[("ttlInSeconds", "600")]).await;
    store.apply(&Ctx::system(), set("k", Precondition::None)).await.unwrap();
    let entry = store.get(&Ctx::system(), "k").await.unwrap().unwrap();
    assert!(entry.expires_at_ms.is_some());
}

fn set(key: &str, precondition: Precondition) -> Change {
    Change::Set { key: key.to_owned(), value: "v".into(), format: Format::Bytes, precondition, ttl: None }
}

struct Redis {
    def: &'static Def,
    host: String,
    database: String,
    store: Arc<dyn StateStore>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let store = connect(def, &host, &database, &[]).await;
        Self { def, host, database, store, below }
    }
}

async fn connect(def: &Def, host: &str, database: &str, more: &[(&str, &str)]) -> Arc<dyn StateStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = [&[("redisHost", host), ("redisDB", database)], more].concat();
    open_in(def, &settings, Path::new("."), &clock).await.unwrap()
}

#[async_trait]
impl Rig for Redis {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        Some(connect(self.def, &self.host, &self.database, &[]).await)
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
