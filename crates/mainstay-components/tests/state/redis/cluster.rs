//! The rigs of a cluster of Redis. It has one database, so each rig begins its keys with a name of its own: in braces,
//! which has all of them in one slot, or without, which spreads them over the nodes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_components::state::Def;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Precondition, Query, StateStore};
use mainstay_core::{Clock, Ctx, Result};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::open_in;
use mainstay_testkit::conformance::members::{NotRun, own};
use mainstay_testkit::conformance::state::{self as suite, Below, Need, Open, Rig};
use mainstay_testkit::servers::redis::cluster;

use super::set;
use crate::Way;

pub(super) fn ways(def: &'static Def) -> Vec<Way> {
    let open = |together: bool| -> Open {
        Arc::new(move |need| {
            Box::pin(async move { Arc::new(Cluster::open(def, need, together).await) as Arc<dyn Rig> })
        })
    };
    let reasons = [
        (suite::TRANSACTIONS, "the keys are in several slots"),
        (suite::OUTAGES, "run with all keys in one slot"),
    ];
    let not_run: Vec<NotRun> = reasons
        .into_iter()
        .flat_map(|(checks, reason)| checks.iter().map(move |check| (check.name, reason)))
        .collect();
    let own = vec![
        own("redis-cluster::keys_are_on_every_node_and_all_are_found", move || spread(def)),
        own("redis-cluster::changes_of_several_slots_at_once_are_refused", move || several_slots(def)),
        own("redis-cluster::keys_are_followed_where_their_slots_move", move || moved(def)),
    ];
    vec![
        Way::new("redis-cluster", open(true)).with(own),
        Way::new("redis-cluster-spread", open(false)).without(not_run),
    ]
}

async fn connect(def: &Def, hosts: &str) -> Arc<dyn StateStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = [("redisHost", hosts), ("redisType", "cluster")];
    open_in(def, &settings, Path::new("."), &clock).await.unwrap()
}

struct Cluster {
    def: &'static Def,
    hosts: String,
    prefix: String,
    store: Arc<dyn StateStore>,
    below: Below,
}

impl Cluster {
    async fn open(def: &'static Def, need: Need, together: bool) -> Self {
        let ((hosts, name), below) = cluster::place(need).await;
        let prefix = if together { format!("{{{name}}}") } else { format!("{name}.") };
        let inner = connect(def, &hosts).await;
        let store = Arc::new(Named { inner, prefix: prefix.clone() });
        Self { def, hosts, prefix, store, below }
    }
}

#[async_trait]
impl Rig for Cluster {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        let inner = connect(self.def, &self.hosts).await;
        Some(Arc::new(Named { inner, prefix: self.prefix.clone() }))
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}

/// The store, whose keys all begin with a name.
struct Named {
    inner: Arc<dyn StateStore>,
    prefix: String,
}

impl Named {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn change(&self, mut change: Change) -> Change {
        match &mut change {
            Change::Set { key, .. } | Change::Delete { key, .. } => *key = self.key(key),
        }
        change
    }
}

#[async_trait]
impl StateStore for Named {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.inner.ready(ctx).await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        self.inner.get(ctx, &self.key(key)).await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        self.inner.apply(ctx, self.change(change)).await
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.inner.get_many(ctx, &keys).await
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        let changes = changes.into_iter().map(|change| self.change(change)).collect();
        self.inner.apply_each(ctx, changes).await
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        let changes = changes.into_iter().map(|change| self.change(change)).collect();
        self.inner.transact(ctx, changes).await
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        self.inner.scan(ctx, prefix, token, limit).await
    }

    async fn query(&self, ctx: &Ctx, query: Query) -> Result<Page> {
        self.inner.query(ctx, query).await
    }
}

fn sets(names: std::ops::Range<usize>) -> Vec<Change> {
    names.map(|n| set(&format!("k{n}"), Precondition::None)).collect()
}

async fn spread(def: &'static Def) {
    let nodes = tokio::task::spawn_blocking(cluster::start).await.unwrap();
    // One node is enough to find the others.
    let store = connect(def, &format!("127.0.0.1:{}", nodes[0].port())).await;
    for made in store.apply_each(&Ctx::system(), sets(0..200)).await {
        made.unwrap();
    }
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    for found in store.get_many(&Ctx::system(), &keys).await {
        assert_eq!(found.unwrap().unwrap().value, "v");
    }
    for node in &nodes {
        let size = cluster::manage(&["-p", &node.port().to_string(), "dbsize"]);
        assert!(size.trim().parse::<u32>().unwrap() > 30, "{size}");
    }
    tokio::task::spawn_blocking(|| drop(nodes)).await.unwrap();
}

async fn several_slots(def: &'static Def) {
    let ((hosts, name), _) = cluster::place(Need::Namespace).await;
    let store = connect(def, &hosts).await;
    let both = |prefix: &str| {
        ["a", "b"].map(|key| set(&format!("{prefix}{key}"), Precondition::None)).into_iter().collect()
    };
    let error = store.transact(&Ctx::system(), both(&name)).await.unwrap_err();
    assert_eq!(error.code().id, "UNSUPPORTED");
    assert!(error.help().is_some_and(|help| help.contains("braces")), "{error:?}");
    assert_eq!(store.get(&Ctx::system(), &format!("{name}a")).await.unwrap(), None);
    store.transact(&Ctx::system(), both(&format!("{{{name}}}"))).await.unwrap();
}

async fn moved(def: &'static Def) {
    let nodes = tokio::task::spawn_blocking(cluster::start).await.unwrap();
    let store = connect(def, &cluster::addresses(&nodes)).await;
    for made in store.apply_each(&Ctx::system(), sets(0..100)).await {
        made.unwrap();
    }
    let ports = [nodes[0].port(), nodes[1].port()].map(|port| port.to_string());
    let move_slots = {
        let ports = ports.clone();
        move || {
            let id = |port: &str| cluster::manage(&["-p", port, "cluster", "myid"]).trim().to_owned();
            let [from, to] = [id(&ports[0]), id(&ports[1])];
            let address = format!("127.0.0.1:{}", ports[0]);
            let words = ["--cluster", "reshard", &address, "--cluster-from", &from, "--cluster-to", &to];
            cluster::manage(&[&words[..], &["--cluster-slots", "5461", "--cluster-yes"]].concat());
        }
    };
    // While slots move, and when they have: a read, which is of two calls, or a change, which is of one, is first to
    // notice.
    let moving = tokio::task::spawn_blocking(move_slots);
    while !moving.is_finished() {
        for n in 0..100 {
            store.get(&Ctx::system(), &format!("k{n}")).await.unwrap().unwrap();
        }
    }
    moving.await.unwrap();
    let late = connect(def, &cluster::addresses(&nodes)).await;
    assert_eq!(cluster::manage(&["-p", &ports[0], "dbsize"]).trim(), "0", "everything has moved");
    for store in [store, late] {
        for change in sets(0..100) {
            store.apply(&Ctx::system(), change).await.unwrap();
        }
        for n in 0..100 {
            store.get(&Ctx::system(), &format!("k{n}")).await.unwrap().unwrap();
        }
    }
    tokio::task::spawn_blocking(|| drop(nodes)).await.unwrap();
}
