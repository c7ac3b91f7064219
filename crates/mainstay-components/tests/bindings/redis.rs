//! The rig of Redis: a database of its own on the shared server, or a server of its own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::bindings::Def;
use mainstay_core::Ctx;
use mainstay_core::binding::{Binding, Operation};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Below, Need, Open, Rig};
use mainstay_testkit::servers::redis;

use crate::{Member, Way, clock, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    let own = vec![own("redis::a_key_is_set_counted_read_and_removed", move || story(def))];
    Way::new("redis", open).with(own).into()
}

struct Redis {
    binding: Arc<dyn Binding>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        let settings = [("redisHost", host.as_str()), ("redisDB", &database)];
        let binding = components::open_with(def, &settings, Path::new("."), &components::NoStores, &clock())
            .await
            .unwrap();
        Self { binding, below }
    }

    async fn text(&self, operation: Operation) -> Option<String> {
        let outcome = self.binding.invoke(&Ctx::system(), operation).await.unwrap()?;
        Some(String::from_utf8(outcome.data.to_vec()).unwrap())
    }
}

async fn story(def: &'static Def) {
    let redis = Redis::open(def, Need::Namespace).await;
    let key = [("key", "k")];
    assert_eq!(redis.text(operation("create", "41", &key)).await, None);
    assert_eq!(redis.text(operation("increment", "", &[("key", "k"), ("ttlInSeconds", "60")])).await, None);
    assert_eq!(redis.text(operation("get", "", &key)).await.unwrap(), "42");
    assert_eq!(redis.text(operation("get", "", &[("key", "k"), ("delete", "true")])).await.unwrap(), "42");
    assert_eq!(redis.text(operation("get", "", &key)).await.unwrap(), "");
    assert_eq!(redis.text(operation("delete", "", &key)).await, None);
    let odd = operation("create", "x", &[("key", "k"), ("ttlInSeconds", "soon")]);
    assert_eq!(redis.binding.invoke(&Ctx::system(), odd).await.unwrap_err().code().id, "INVALID_FIELD");
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
