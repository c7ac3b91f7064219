//! The rigs of Redis: a database of its own on the shared server, topics of its own on the shared cluster, or a server
//! or a cluster of its own; and what is Redis' own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamPendingReply, StreamRangeReply};
use ::redis::{AsyncCommands as _, Client};
use async_trait::async_trait;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::PubSub;
use mainstay_testkit::conformance::pubsub::{Below, Need, Open, Outage as _, Rig};
use mainstay_testkit::servers::redis::{self, cluster};

use crate::opened::{self, Joined, ctx, message, text};
use crate::{Member, Way, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = redis::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Redis::open(def, need).await) as Arc<dyn Rig> }));
    let own = vec![
        own("redis::what_another_sidecar_published_is_read", move || is_read(def)),
        own("redis::what_is_published_another_sidecar_reads", move || is_written(def)),
        own("redis::a_new_group_begins_with_all_that_the_topic_has", move || begins_at_the_oldest(def)),
        own("redis::what_another_sidecar_left_is_taken_over", move || is_taken_over(def)),
        own("redis::what_was_trimmed_is_not_pending_for_ever", move || trimmed(def)),
        own("redis::a_group_that_vanished_is_made_anew", move || vanished(def)),
        own("redis::of_a_subscription_so_many_are_worked_on_at_once", move || concurrency(def)),
        own("redis::what_is_worked_on_is_not_taken_over_by_ourselves", move || held(def)),
        own("redis::an_error_is_done_where_the_settings_say_so", move || error_is_done(def)),
        own("redis::a_topic_keeps_about_as_many_as_the_settings_say", move || length(def)),
        own("redis::a_topic_keeps_messages_about_as_long_as_the_settings_say", move || age(def)),
        own("redis::a_stream_whose_server_is_gone_ends_with_an_error", move || ends(def)),
    ];
    let on_cluster: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Redis::open_cluster(def, need).await) as Arc<dyn Rig> })
    });
    Member::Ways(vec![Way::new("redis", open).with(own), Way::new("redis-cluster", on_cluster)])
}

/// A short time for a message to come again.
const SOON: [(&str, &str); 2] = [("processingTimeout", "200ms"), ("redeliverInterval", "50ms")];

/// A broker on a database of its own, and a bare client of the same.
async fn both(def: &Def, more: &[(&str, &str)]) -> (Arc<dyn PubSub>, MultiplexedConnection) {
    let (host, database) = redis::database();
    let client = Client::open(format!("redis://{host}/{database}")).unwrap();
    let bare = client.get_multiplexed_async_connection().await.unwrap();
    (connect(def, &host, &database.to_string(), more).await, bare)
}

async fn connect(def: &Def, host: &str, database: &str, more: &[(&str, &str)]) -> Arc<dyn PubSub> {
    let settings = [&[("redisHost", host), ("redisDB", database)], more].concat();
    opened::open(def, &settings).await.unwrap()
}

async fn is_read(def: &Def) {
    let (broker, mut bare) = both(def, &[]).await;
    let fields = [("data", r#"{"id":"1"}"#), ("metadata", r#"{"rawPayload":"true"}"#)];
    let _: String = bare.xadd("t", "*", &fields).await.unwrap();
    let _: String = bare.xadd("t", "*", &[("data", "older sidecars")]).await.unwrap();
    let mut member = Joined::to(&broker, "t", "g").await;
    let first = member.next().await;
    assert_eq!(text(&first), r#"{"id":"1"}"#);
    assert_eq!(first.message.metadata.get("rawPayload").map(String::as_str), Some("true"));
    assert_eq!(member.text().await, "older sidecars");
    first.receipt.done().await.unwrap();
    assert_eq!(pending(&mut bare, "t", "g").await, 0, "what is done is acknowledged");
}

async fn pending(bare: &mut MultiplexedConnection, topic: &str, group: &str) -> u64 {
    let pending: StreamPendingReply = bare.xpending(topic, group).await.unwrap();
    u64::try_from(pending.count()).unwrap()
}

async fn is_written(def: &Def) {
    let (broker, mut bare) = both(def, &[]).await;
    broker.publish(&ctx(), message("t", "x", &[("a", "1")])).await.unwrap();
    drop(Joined::to(&broker, "t", "shop").await);
    let found: StreamRangeReply = bare.xrange_all("t").await.unwrap();
    assert_eq!(found.ids[0].get::<String>("data").as_deref(), Some("x"));
    assert_eq!(found.ids[0].get::<String>("metadata").as_deref(), Some(r#"{"a":"1"}"#));
    let groups: Vec<HashMap<String, ::redis::Value>> =
        ::redis::cmd("XINFO").arg("GROUPS").arg("t").query_async(&mut bare).await.unwrap();
    assert_eq!(groups[0].get("name"), Some(&::redis::Value::BulkString(b"shop".to_vec())));
}

async fn begins_at_the_oldest(def: &Def) {
    let (broker, _) = both(def, &[]).await;
    broker.publish(&ctx(), message("t", "before", &[])).await.unwrap();
    assert_eq!(Joined::to(&broker, "t", "g").await.text().await, "before");
}

async fn is_taken_over(def: &Def) {
    let (broker, mut bare) = both(def, &SOON).await;
    for n in 0..250 {
        let _: String = bare.xadd("t", "*", &[("data", n.to_string())]).await.unwrap();
    }
    let _: () = bare.xgroup_create("t", "g", "0").await.unwrap();
    // Another sidecar takes them all, and dies.
    let mut read = ::redis::cmd("XREADGROUP");
    read.arg(&["GROUP", "g", "g", "COUNT", "1000", "STREAMS", "t", ">"]);
    let _: ::redis::Value = read.query_async(&mut bare).await.unwrap();
    let mut member = Joined::to(&broker, "t", "g").await;
    let mut texts = Vec::new();
    for _ in 0..250 {
        let delivery = member.next().await;
        assert_eq!(delivery.attempts, 1, "it was delivered before");
        texts.push(text(&delivery).parse::<u32>().unwrap());
        delivery.receipt.done().await.unwrap();
    }
    texts.sort_unstable();
    assert_eq!(texts, (0..250).collect::<Vec<_>>());
    assert_eq!(pending(&mut bare, "t", "g").await, 0);
}

async fn trimmed(def: &Def) {
    let (broker, mut bare) = both(def, &SOON).await;
    let mut member = Joined::to(&broker, "t", "g").await;
    for n in ["1", "2"] {
        broker.publish(&ctx(), message("t", n, &[])).await.unwrap();
    }
    let (first, second) = (member.next().await, member.next().await);
    let found: StreamRangeReply = bare.xrange_all("t").await.unwrap();
    let _: u64 = bare.xdel("t", &[&found.ids[0].id]).await.unwrap();
    drop((first, second));
    assert_eq!(member.text().await, "2");
    member.is_quiet().await;
    assert_eq!(pending(&mut bare, "t", "g").await, 0);
}

async fn vanished(def: &Def) {
    let (broker, mut bare) = both(def, &[]).await;
    let mut member = Joined::to(&broker, "t", "g").await;
    for n in ["1", "2", "3"] {
        let _: () = bare.del("t").await.unwrap();
        broker.publish(&ctx(), message("t", n, &[])).await.unwrap();
        assert_eq!(member.text().await, n);
    }
}

async fn concurrency(def: &Def) {
    let (broker, _) = both(def, &[("concurrency", "2")]).await;
    let mut member = Joined::to(&broker, "t", "g").await;
    for n in ["1", "2", "3"] {
        broker.publish(&ctx(), message("t", n, &[])).await.unwrap();
    }
    let (first, second) = (member.next().await, member.next().await);
    member.is_quiet().await;
    first.receipt.done().await.unwrap();
    assert_eq!(member.text().await, "3");
    second.receipt.done().await.unwrap();
}

async fn held(def: &Def) {
    let (broker, _) = both(def, &SOON).await;
    let mut member = Joined::to(&broker, "t", "g").await;
    broker.publish(&ctx(), message("t", "slow", &[])).await.unwrap();
    let slow = member.next().await;
    // Much longer than it may be pending.
    for _ in 0..3 {
        member.is_quiet().await;
    }
    drop(slow);
    assert_eq!(member.text().await, "slow");
}

async fn error_is_done(def: &Def) {
    let (broker, mut bare) = both(def, &[&SOON[..], &[("ackOnError", "true")]].concat()).await;
    let mut member = Joined::to(&broker, "t", "g").await;
    broker.publish(&ctx(), message("t", "bad", &[])).await.unwrap();
    member.next().await.receipt.again().await.unwrap();
    assert_eq!(pending(&mut bare, "t", "g").await, 0);
    member.is_quiet().await;
}

async fn publish(broker: &Arc<dyn PubSub>, count: usize) {
    let messages = (0..count).map(|n| message("t", &n.to_string(), &[])).collect();
    for published in broker.publish_each(&ctx(), messages).await {
        published.unwrap();
    }
}

async fn length(def: &Def) {
    let (broker, mut bare) = both(def, &[("maxLenApprox", "100")]).await;
    publish(&broker, 2_000).await;
    let length: usize = bare.xlen("t").await.unwrap();
    assert!((100..1_000).contains(&length), "{length}");
}

async fn age(def: &Def) {
    let (broker, mut bare) = both(def, &[("streamTTL", "1h")]).await;
    // Entries of long ago.
    for n in 1..=2_000 {
        let _: String = bare.xadd("t", format!("1-{n}"), &[("data", "old")]).await.unwrap();
    }
    publish(&broker, 1).await;
    let length: usize = bare.xlen("t").await.unwrap();
    assert!((1..1_000).contains(&length), "{length}");
}

async fn ends(def: &'static Def) {
    let rig = Redis::open(def, Need::Server).await;
    let mut member = Joined::to(&rig.broker, "t", "g").await;
    rig.below.stop().await;
    let error = member.item().await.expect("an item").expect_err("the server is gone");
    assert_eq!(error.code().id, "BROKER_UNAVAILABLE");
    assert!(member.item().await.is_none(), "the error is the last item");
}

struct Redis {
    def: &'static Def,
    settings: Vec<(&'static str, String)>,
    /// What topics begin with, where there is but one database.
    prefix: String,
    broker: Arc<dyn PubSub>,
    below: Below,
}

impl Redis {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((host, database), below) = redis::place(need).await;
        Self::with(def, vec![("redisHost", host), ("redisDB", database)], String::new(), below).await
    }

    async fn open_cluster(def: &'static Def, need: Need) -> Self {
        let ((hosts, name), below) = cluster::place(need).await;
        let settings = vec![("redisHost", hosts), ("redisType", "cluster".to_owned())];
        Self::with(def, settings, format!("{name}."), below).await
    }

    async fn with(
        def: &'static Def,
        settings: Vec<(&'static str, String)>,
        prefix: String,
        below: Below,
    ) -> Self {
        let broker = Self::connect(def, &settings).await;
        Self { def, settings, prefix, broker, below }
    }

    /// As the suite expects a group to begin; and soon enough for it, but not while a slow machine works on a message.
    const MORE: [(&str, &str); 3] =
        [("processingTimeout", "1s"), ("redeliverInterval", "100ms"), ("initialOffset", "newest")];

    async fn connect(def: &Def, settings: &[(&str, String)]) -> Arc<dyn PubSub> {
        let here = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<(&str, &str)> = here.chain(Self::MORE).collect();
        opened::open(def, &settings).await.unwrap()
    }
}

#[async_trait]
impl Rig for Redis {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(Self::connect(self.def, &self.settings).await)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        self.again().await
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
