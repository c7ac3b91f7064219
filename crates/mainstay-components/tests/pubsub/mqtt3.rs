//! The rig of MQTT: a Mosquitto of its own for each broker; and what it makes of its settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_components::pubsub::{self, Def};
use mainstay_core::Ctx;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_testkit::conformance::pubsub::{Open, Rig};
use mainstay_testkit::servers::{Server, mosquitto};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::Mutex;

use crate::line::Line;
use crate::{Member, Way, opened, own};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must come for it to be believed that nothing does.
const QUIET: Duration = Duration::from_millis(200);

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
    Member::Ways(vec![Way { name: "mqtt3", open, not_run: Vec::new(), own }])
}

async fn start() -> Arc<Server> {
    Arc::new(tokio::task::spawn_blocking(|| mosquitto::RECIPE.start()).await.unwrap())
}

async fn connect(def: &Def, port: u16, name: &str, more: &[(&str, &str)]) -> Arc<dyn PubSub> {
    let url = format!("tcp://127.0.0.1:{port}");
    opened::open(def, &[&[("url", url.as_str()), ("consumerID", name)], more].concat()).await.unwrap()
}

struct Rigged {
    def: &'static Def,
    server: Arc<Server>,
    /// The present broker, and its way to the server: cut when its process is to end.
    present: Mutex<(Arc<dyn PubSub>, Line)>,
    broker: Arc<dyn PubSub>,
}

impl Rigged {
    async fn open(def: &'static Def) -> Self {
        let server = start().await;
        let line = Line::to(server.port()).await;
        let broker = connect(def, line.port, "rig", &[]).await;
        Self { def, server, present: Mutex::new((Arc::clone(&broker), line)), broker }
    }

    async fn server(&self, act: fn(&Server)) {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
    }
}

#[async_trait]
impl Rig for Rigged {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        // Two processes under one name would drive each other out.
        Some(connect(self.def, self.server.port(), "another", &[]).await)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        // What the broker has said by now reaches the server: it answers no acknowledgement.
        let mut present = self.present.lock().await;
        present.0.ready(&Ctx::system()).await.unwrap();
        let line = Line::to(self.server.port()).await;
        let broker = connect(self.def, line.port, "rig", &[]).await;
        *present = (Arc::clone(&broker), line);
        Some(broker)
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
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

type Stream = mainstay_core::BoxStream<mainstay_core::Result<Delivery>>;

async fn publish(broker: &Arc<dyn PubSub>, topic: &str, text: &str, metadata: &[(&str, &str)]) {
    let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (topic, data) = (topic.to_owned(), Bytes::from(text.to_owned()));
    broker.publish(&Ctx::system(), Message { topic, data, content_type: None, metadata }).await.unwrap();
}

/// A member of the component's own group.
async fn subscribe(broker: &Arc<dyn PubSub>, topic: &str) -> Stream {
    let subscription = Subscription { topic: topic.to_owned(), ..Subscription::default() };
    broker.subscribe(&Ctx::system(), subscription).await.unwrap()
}

async fn next(stream: &mut Stream) -> Delivery {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message comes").unwrap().unwrap()
}

async fn text(stream: &mut Stream) -> String {
    let delivery = next(stream).await;
    let text = String::from_utf8(delivery.message.data.to_vec()).unwrap();
    delivery.receipt.done().await.unwrap();
    text
}

async fn is_quiet(stream: &mut Stream) {
    assert!(tokio::time::timeout(QUIET, stream.next()).await.is_err(), "nothing was to come");
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
    let delivery = next(&mut member).await;
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
        let delivery =
            tokio::select! { mine = next(&mut mine) => mine, theirs = next(&mut theirs) => theirs };
        wanted.retain(|wanted| *wanted != delivery.message.data);
        delivery.receipt.done().await.unwrap();
    }
    is_quiet(&mut mine).await;
    is_quiet(&mut theirs).await;
}

async fn retained(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    publish(&broker, "t", "kept", &[("retain", "true")]).await;
    publish(&broker, "t", "passing", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    let delivery = next(&mut member).await;
    let retained = delivery.message.metadata.get("retained").map(String::as_str);
    assert_eq!((delivery.message.data.as_ref(), retained), (b"kept".as_slice(), Some("true")));
    delivery.receipt.done().await.unwrap();
    is_quiet(&mut member).await;
}

async fn single(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[("concurrencyMode", "single")]).await;
    let mut member = subscribe(&broker, "t").await;
    for n in 0..4 {
        publish(&broker, "t", &n.to_string(), &[]).await;
    }
    for n in 0..4 {
        let delivery = next(&mut member).await;
        assert_eq!(delivery.message.data, n.to_string());
        is_quiet(&mut member).await;
        delivery.receipt.again().await.unwrap();
        assert_eq!(text(&mut member).await, n.to_string(), "what comes again comes before what follows");
    }
}

async fn overlapping(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let (mut exact, mut all) = (subscribe(&broker, "t/x").await, subscribe(&broker, "t/+").await);
    publish(&broker, "t/x", "both", &[]).await;
    assert_eq!((text(&mut exact).await, text(&mut all).await), ("both".to_owned(), "both".to_owned()));
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
        let delivery = next(&mut member).await;
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
    assert_eq!(text(&mut member).await, "a");
    drop(member);
    // By then the broker has heard that nobody is left.
    broker.ready(&Ctx::system()).await.unwrap();
    publish(&broker, "t", "nobody", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    publish(&broker, "t", "b", &[]).await;
    assert_eq!(text(&mut member).await, "b");
}

async fn lost(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let mut member = subscribe(&broker, "t").await;
    publish(&broker, "t", "x", &[]).await;
    let held = next(&mut member).await;
    let again = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        again.stop();
        again.start();
    })
    .await
    .unwrap();
    assert_eq!(text(&mut member).await, "x", "the stream goes on over another connection");
    assert_eq!(held.receipt.done().await.unwrap_err().code().id, "BROKER_UNAVAILABLE");
}

async fn refused(def: &'static Def) {
    let server = start().await;
    let broker = connect(def, server.port(), "c", &[]).await;
    let message = |topic: &str| Message { topic: topic.to_owned(), ..Message::default() };
    for topic in ["", "a/+", "#"] {
        let error = broker.publish(&Ctx::system(), message(topic)).await.unwrap_err();
        assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")), "{topic}");
    }
    for topic in ["", "a/#/b", "a+"] {
        let subscription = Subscription { topic: topic.to_owned(), ..Subscription::default() };
        let error = broker.subscribe(&Ctx::system(), subscription).await.err().unwrap();
        assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")), "{topic}");
    }
    let mut bad = message("t");
    bad.metadata.insert("retain".to_owned(), "perhaps".to_owned());
    let error = broker.publish(&Ctx::system(), bad).await.unwrap_err();
    assert_eq!(error.field(), Some("metadata.retain"));
}
