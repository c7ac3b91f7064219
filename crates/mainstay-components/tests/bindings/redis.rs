//! The rigs of Redis: a database of its own on the shared server, the shared cluster, or a server or a cluster of its
//! own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::bindings::Def;
use mainstay_core::Ctx;
use mainstay_core::binding::{Binding, Operation};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Below, Need, Open, Rig};
use mainstay_testkit::servers::redis::{self, cluster};

use crate::{Member, Way, clock, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    let on_cluster: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Redis::open_cluster(def, need).await) as Arc<dyn Rig> })
    });
    let story = |name, open: &Open| {
        let open = Arc::clone(open);
        own(name, move || async move { story(&*open(Need::Namespace).await.binding()).await })
    };
    let (one, many) = (
        story("redis::a_key_is_set_counted_read_and_removed", &open),
        story("redis-cluster::a_key_is_set_counted_read_and_removed", &on_cluster),
    );
    Member::Ways(vec![
        Way::new("redis", open).with(vec![one]),
        Way::new("redis-cluster", on_cluster).with(vec![many]),
    ])
}

struct Redis {
    binding: Arc<dyn Binding>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let settings = [("redisHost", host.as_str()), ("redisDB", &database)];
        Self::with(def, &settings, below).await
    }

    /// The shared cluster has one database: who else binds to it sets the same key to the same.
    async fn open_cluster(def: &'static Def, need: Need) -> Self {
        let ((hosts, _), below) = cluster::place(need).await;
        Self::with(def, &[("redisHost", hosts.as_str()), ("redisType", "cluster")], below).await
    }

    async fn with(def: &'static Def, settings: &[(&str, &str)], below: Below) -> Self {
        let opened =
            components::open_with(def, settings, Path::new("."), &components::NoStores, &clock()).await;
        Self { binding: opened.unwrap(), below }
    }
}

async fn text(binding: &dyn Binding, operation: Operation) -> Option<String> {
    let outcome = binding.invoke(&Ctx::system(), operation).await.unwrap()?;
    Some(String::from_utf8(outcome.data.to_vec()).unwrap())
}

async fn story(binding: &dyn Binding) {
    let key = [("key", "story")];
    let lasting = [("key", "story"), ("ttlInSeconds", "60")];
    assert_eq!(text(binding, operation("create", "41", &key)).await, None);
    assert_eq!(text(binding, operation("increment", "", &lasting)).await, None);
    assert_eq!(text(binding, operation("get", "", &key)).await.unwrap(), "42");
    let and_delete = [("key", "story"), ("delete", "true")];
    assert_eq!(text(binding, operation("get", "", &and_delete)).await.unwrap(), "42");
    assert_eq!(text(binding, operation("get", "", &key)).await.unwrap(), "");
    assert_eq!(text(binding, operation("delete", "", &key)).await, None);
    let odd = operation("create", "x", &[("key", "story"), ("ttlInSeconds", "soon")]);
    assert_eq!(binding.invoke(&Ctx::system(), odd).await.unwrap_err().code().id, "INVALID_FIELD");
}

#[async_trait]
impl Rig for Redis {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        let names = ["create", "increment", "get", "delete"];
        names.iter().map(|name| operation(name, "1", &[("key", "k")])).collect()
    }

    fn lacking(&self) -> Option<Operation> {
        Some(operation("get", "", &[]))
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
