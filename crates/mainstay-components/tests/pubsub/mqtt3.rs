//! The rig of MQTT: a Mosquitto of its own for each broker; and what it makes of its settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_components::pubsub::{self, Def};
use mainstay_core::pubsub::{Message, PubSub, Subscription};
use mainstay_testkit::conformance::pubsub::{Below, Open, Outage as _, Rig};
use mainstay_testkit::servers::{Server, mosquitto};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use crate::line::Process;
use crate::opened::{self, Joined, ctx, message};
use crate::{Member, Way, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = mosquitto::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |_| Box::pin(async move { Arc::new(Rigged::open(def).await) as Arc<dyn Rig> }));
    let own = vec![
        own("mqtt3::it_takes_over_the_session_of_dapr", move || taken_over(def)),
        own("mqtt3::processes_share_a_topic_where_it_says_so", move || shared(def)),
        own("mqtt3::a_retained_message_comes_to_whoever_subscribes_next", move || retained(def)),
        own("mqtt3::one_at_a_time_keeps_the_order_of_a_topic", move || single(def)),
        own("mqtt3::subscriptions_that_overlap_each_get_a_message", move || overlapping(def)),
        own("mqtt3::what_comes_again_does_not_fill_the_brokers_window", move || window(def)),
        own("mqtt3::a_clean_session_is_forgotten", move || clean(def)),
        own("mqtt3::a_delivery_of_a_connection_that_was_lost_is_told_and_comes_again", move || lost(def)),
        own("mqtt3::what_is_no_topic_is_refused", move || refused(def)),
    ];
    Way::new("mqtt3", open).with(own).into()
}

async fn start() -> Server {
    tokio::task::spawn_blocking(|| mosquitto::RECIPE.start()).await.unwrap()
}

async fn connect(def: &Def, port: u16, name: &str, more: &[(&str, &str)]) -> Arc<dyn PubSub> {
    let url = format!("tcp://127.0.0.1:{port}");
    opened::open(def, &[&[("url", url.as_str()), ("consumerID", name)], more].concat()).await.unwrap()
}

struct Rigged {
    def: &'static Def,
    port: u16,
    process: Process,
    below: Below,
}

impl Rigged {
    async fn open(def: &'static Def) -> Self {
        let server = start().await;
        let port = server.port();
        let process = Process::begin(port, move |port| connect(def, port, "rig", &[])).await;
        Self { def, port, process, below: Below::of(vec![server]) }
    }
}

#[async_trait]
impl Rig for Rigged {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.process.broker)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        // Two processes under one name would drive each other out.
        Some(connect(self.def, self.port, "another", &[]).await)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        Some(self.process.restarted().await)
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}

async fn publish(broker: &Arc<dyn PubSub>, topic: &str, text: &str, metadata: &[(&str, &str)]) {
    broker.publish(&ctx(), message(topic, text, metadata)).await.unwrap();
}

/// A member of the component's own group.
async fn subscribe(broker: &Arc<dyn PubSub>, topic: &str) -> Joined {
    Joined::to(broker, topic, "").await
}

async fn taken_over(def: &'static Def) {
    assert_eq!(pubsub::find("pubsub.mqtt").map(|def| def.kind), Some("pubsub.mqtt3"));
    let server = start().await;
    // Dapr's sidecar: the name of the group, a session that is kept.
    let mut options = MqttOptions::new("c", ("127.0.0.1", server.port()));
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    client.subscribe("t/+", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    client.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
    let other = connect(def, server.port(), "other", &[]).await;
    publish(&other, "t/1", "between", &[]).await;
    let ours = connect(def, server.port(), "c", &[]).await;
    let mut member = subscribe(&ours, "t/+").await;
    let delivery = member.next().await;
    assert_eq!(
        (delivery.message.topic.as_str(), delivery.message.data.as_ref()),
        ("t/1", b"between".as_slice())
    );
}

async fn shared(def: &'static Def) {
    let server = start().await;
    let (one, other) =
        (connect(def, server.port(), "1", &[]).await, connect(def, server.port(), "2", &[]).await);
    let topic = "$share/g/t/#";
    let (mut mine, mut theirs) = (subscribe(&one, topic).await, subscribe(&other, topic).await);
    let mut wanted: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for text in &wanted {
        publish(&one, "t/x", text, &[]).await;
    }
    while !wanted.is_empty() {
        let delivery = tokio::select! { mine = mine.next() => mine, theirs = theirs.next() => theirs };
        wanted.retain(|wanted| *wanted != delivery.message.data);
        delivery.receipt.done().await.unwrap();
    }
    mine.is_quiet().await;
    theirs.is_quiet().await;
}

async fn retained(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    publish(&broker, "t", "kept", &[("retain", "true")]).await;
    publish(&broker, "t", "passing", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    let delivery = member.next().await;
    let retained = delivery.message.metadata.get("retained").map(String::as_str);
    assert_eq!((delivery.message.data.as_ref(), retained), (b"kept".as_slice(), Some("true")));
    delivery.receipt.done().await.unwrap();
    member.is_quiet().await;
}

async fn single(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[("concurrencyMode", "single")]).await;
    let mut member = subscribe(&broker, "t").await;
    for n in 0..4 {
        publish(&broker, "t", &n.to_string(), &[]).await;
    }
    for n in 0..4 {
        let delivery = member.next().await;
        assert_eq!(delivery.message.data, n.to_string());
        member.is_quiet().await;
        delivery.receipt.again().await.unwrap();
        assert_eq!(member.text().await, n.to_string(), "what comes again comes before what follows");
    }
}

async fn overlapping(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let (mut exact, mut all) = (subscribe(&broker, "t/x").await, subscribe(&broker, "t/+").await);
    publish(&broker, "t/x", "both", &[]).await;
    assert_eq!((exact.text().await, all.text().await), ("both".to_owned(), "both".to_owned()));
}

async fn window(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    // More than Mosquitto sends without an answer.
    for n in 0..30 {
        publish(&broker, "t", &n.to_string(), &[]).await;
    }
    let mut left: BTreeMap<Bytes, u32> = BTreeMap::new();
    while left.len() < 30 || left.values().any(|times| *times < 2) {
        let delivery = member.next().await;
        let times = left.entry(delivery.message.data.clone()).or_default();
        assert_eq!(delivery.attempts, *times);
        *times += 1;
        if *times < 2 {
            delivery.receipt.again().await.unwrap();
        } else {
            delivery.receipt.done().await.unwrap();
        }
    }
}

async fn clean(def: &'static Def) {
    let server = start().await;
    let settings = [("cleanSession", "true")];
    let broker = connect(def, server.port(), "c", &settings).await;
    assert!(!broker.capabilities().durable);
    let mut member = subscribe(&broker, "t").await;
    publish(&broker, "t", "a", &[]).await;
    assert_eq!(member.text().await, "a");
    drop(member);
    // By then the broker has heard that nobody is left.
    broker.ready(&ctx()).await.unwrap();
    publish(&broker, "t", "nobody", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    publish(&broker, "t", "b", &[]).await;
    assert_eq!(member.text().await, "b");
}

async fn lost(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    publish(&broker, "t", "x", &[]).await;
    let held = member.next().await;
    let below = Below::of(vec![server]);
    below.stop().await;
    below.start().await;
    assert_eq!(member.text().await, "x", "the stream goes on over another connection");
    assert_eq!(held.receipt.done().await.unwrap_err().code().id, "BROKER_UNAVAILABLE");
}

async fn refused(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let message = |topic: &str| Message { topic: topic.to_owned(), ..Message::default() };
    for topic in ["", "a/+", "#"] {
        let error = broker.publish(&ctx(), message(topic)).await.unwrap_err();
        assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")), "{topic}");
    }
    for topic in ["", "a/#/b", "a+"] {
        let subscription = Subscription { topic: topic.to_owned(), ..Subscription::default() };
        let error = broker.subscribe(&ctx(), subscription).await.err().unwrap();
        assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")), "{topic}");
    }
    let mut bad = message("t");
    bad.metadata.insert("retain".to_owned(), "perhaps".to_owned());
    let error = broker.publish(&ctx(), bad).await.unwrap_err();
    assert_eq!(error.field(), Some("metadata.retain"));
}
