//! The rig of RabbitMQ: names of its own on the shared server, or a server of its own; and what it makes of its
//! settings.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::{Message, PubSub};
use mainstay_testkit::conformance::pubsub::{Below, Need, Open, Rig};
use mainstay_testkit::servers::rabbitmq;

use crate::line::Process;
use crate::opened::{self, Joined, ctx, map, message};
use crate::{Member, Way, own};

/// What keeps everything that it can keep.
const KEEPING: &[(&str, &str)] = &[
    ("durable", "true"),
    ("deletedWhenUnused", "false"),
    ("deliveryMode", "2"),
    ("requeueInFailure", "true"),
];
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = rabbitmq::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Rigged::open(def, need).await) as Arc<dyn Rig> })
    });
    let own = vec![
        own("rabbitmq::the_layout_is_that_of_dapr", move || layout(def)),
        own("rabbitmq::what_the_app_wants_again_is_a_dead_letter_where_that_is_set", move || dead(def)),
        own("rabbitmq::what_nobody_settled_goes_back_whatever_is_set", move || unsettled(def)),
        own("rabbitmq::one_at_a_time_keeps_the_order_of_the_queue", move || single(def)),
        own("rabbitmq::a_topic_without_subscribers_takes_messages_by_default", move || by_default(def)),
        own("rabbitmq::routing_keys_choose_among_the_messages_of_a_topic", move || routing(def)),
        own("rabbitmq::priorities_go_first_where_the_queue_has_them", move || priorities(def)),
        own("rabbitmq::a_quorum_queue_counts_attempts", move || quorum(def)),
        own("rabbitmq::an_exchange_of_another_kind_is_told_and_hurts_nobody_else", move || mismatch(def)),
        own("rabbitmq::properties_become_metadata_where_that_is_set", move || properties(def)),
    ];
    Way::new("rabbitmq", open).with(own).into()
}

struct Rigged {
    def: &'static Def,
    port: u16,
    name: String,
    process: Process,
    below: Below,
}

async fn namespace() -> (u16, String) {
    tokio::task::spawn_blocking(rabbitmq::namespace).await.unwrap()
}

async fn connect(def: &Def, port: u16, settings: &[(&str, &str)]) -> Arc<dyn PubSub> {
    let server = format!("amqp://127.0.0.1:{port}");
    opened::open(def, &[&[("connectionString", server.as_str())], settings].concat()).await.unwrap()
}

impl Rigged {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((port, name), below) = rabbitmq::place(need).await;
        let process = Process::begin(port, move |port| connect(def, port, KEEPING)).await;
        Self { def, port, name, process, below }
    }
}

#[async_trait]
impl Rig for Rigged {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.process.broker)
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(connect(self.def, self.port, KEEPING).await)
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

/// A broker with settings, and a topic of its own.
struct Stage {
    port: u16,
    broker: Arc<dyn PubSub>,
    topic: String,
}

impl Stage {
    async fn open(def: &Def, settings: &[(&str, &str)]) -> Self {
        let (port, topic) = namespace().await;
        Self { port, broker: connect(def, port, settings).await, topic }
    }

    fn message(&self, text: &str, metadata: &[(&str, &str)]) -> Message {
        message(&self.topic, text, metadata)
    }

    async fn publish(&self, text: &str, metadata: &[(&str, &str)]) {
        self.broker.publish(&ctx(), self.message(text, metadata)).await.unwrap();
    }

    async fn subscribe(&self, metadata: &[(&str, &str)]) -> Joined {
        Joined::with(&self.broker, &self.topic, "g", metadata).await.unwrap()
    }

    /// A client that is not ours.
    async fn bare(&self) -> (Connection, Channel) {
        let server = format!("amqp://127.0.0.1:{}", self.port);
        let connection = Connection::connect(&server, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }
}

/// The text of the message in a queue, once there is one.
async fn got(channel: &Channel, queue: &str) -> String {
    let waiting = async {
        loop {
            if let Some(got) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
                return String::from_utf8(got.data.clone()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("a message comes")
}

async fn layout(def: &'static Def) {
    let settings = [("enableDeadLetter", "true"), ("maxLen", "100"), ("ttlInSeconds", "60")];
    let stage = Stage::open(def, &settings).await;
    let mut member = stage.subscribe(&[("maxPriority", "5")]).await;
    // The declarations of Dapr's sidecar, which the server refuses where they differ.
    let (_connection, channel) = stage.bare().await;
    let (topic, long) = (stage.topic.as_str(), |text: &str| AMQPValue::LongString(text.into()));
    let like = ExchangeDeclareOptions { durable: true, auto_delete: true, ..Default::default() };
    channel.exchange_declare(topic.into(), ExchangeKind::Fanout, like, FieldTable::default()).await.unwrap();
    let dead = format!("dlx-g-{topic}");
    channel
        .exchange_declare(dead.as_str().into(), ExchangeKind::Fanout, like, FieldTable::default())
        .await
        .unwrap();
    let like = QueueDeclareOptions { durable: true, auto_delete: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(100));
    arguments.insert("x-dead-letter-exchange".into(), long(&dead));
    arguments.insert("x-max-priority".into(), AMQPValue::ShortShortUInt(5));
    arguments.insert("x-queue-type".into(), long("classic"));
    channel.queue_declare(format!("g-{topic}").as_str().into(), like, arguments).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(100));
    arguments.insert("x-queue-mode".into(), long("lazy"));
    channel.queue_declare(format!("dlq-g-{topic}").as_str().into(), like, arguments).await.unwrap();
    // And a message as it lies in the queue of somebody else's.
    channel.queue_declare("".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let theirs = format!("theirs-{topic}");
    channel
        .queue_declare(theirs.as_str().into(), QueueDeclareOptions::default(), FieldTable::default())
        .await
        .unwrap();
    channel
        .queue_bind(
            theirs.as_str().into(),
            topic.into(),
            "".into(),
            Default::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    stage.publish("x", &[("priority", "300")]).await;
    let lying = channel.basic_get(theirs.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let properties = &lying.properties;
    assert_eq!(lying.data, b"x");
    assert_eq!(properties.content_type().as_ref().map(|text| text.as_str()), Some("text/plain"));
    assert_eq!(properties.expiration().as_ref().map(|text| text.as_str()), Some("60000"));
    assert_eq!((properties.delivery_mode(), properties.priority()), (&None, &Some(255)));
    assert_eq!(member.text().await, "x");
}

async fn dead(def: &'static Def) {
    let stage = Stage::open(def, &[("enableDeadLetter", "true")]).await;
    let mut member = stage.subscribe(&[]).await;
    stage.publish("bad", &[]).await;
    member.next().await.receipt.again().await.unwrap();
    let (_connection, channel) = stage.bare().await;
    assert_eq!(got(&channel, &format!("dlq-g-{}", stage.topic)).await, "bad");
    stage.publish("good", &[]).await;
    assert_eq!(member.text().await, "good", "it does not come again");
}

async fn unsettled(def: &'static Def) {
    let stage = Stage::open(def, &[("enableDeadLetter", "true")]).await;
    let (mut leaving, mut other) = (stage.subscribe(&[]).await, stage.subscribe(&[]).await);
    stage.publish("x", &[]).await;
    let held = tokio::select! { held = leaving.next() => held, held = other.next() => {
        std::mem::swap(&mut leaving, &mut other);
        held
    }};
    drop(held);
    let again = tokio::select! { again = leaving.next() => again, again = other.next() => {
        std::mem::swap(&mut leaving, &mut other);
        again
    }};
    drop(leaving);
    assert_eq!(other.text().await, "x", "it goes back when its member leaves");
    assert_eq!(again.receipt.done().await.unwrap_err().code().id, "BROKER_UNAVAILABLE");
}

async fn single(def: &'static Def) {
    let stage = Stage::open(def, &[&[("concurrencyMode", "single")], KEEPING].concat()).await;
    let mut member = stage.subscribe(&[]).await;
    for n in 0..5 {
        stage.publish(&n.to_string(), &[]).await;
    }
    for n in 0..5 {
        let delivery = member.next().await;
        assert_eq!(delivery.message.data, n.to_string());
        member.is_quiet().await;
        delivery.receipt.again().await.unwrap();
        assert_eq!(member.text().await, n.to_string(), "what comes again comes before what follows");
    }
}

async fn by_default(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    assert!(!stage.broker.capabilities().durable, "Dapr's defaults keep nothing");
    stage.publish("nobody", &[]).await;
    for round in 0..2 {
        // The exchange goes with its last queue, and comes again.
        let mut member = stage.subscribe(&[]).await;
        stage.publish(&round.to_string(), &[]).await;
        assert_eq!(member.text().await, round.to_string());
        drop(member);
        let (_connection, channel) = stage.bare().await;
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let gone = async {
            loop {
                let channel = _connection.create_channel().await.unwrap();
                let (name, none) = (stage.topic.as_str().into(), FieldTable::default());
                if channel.exchange_declare(name, ExchangeKind::Fanout, passive, none).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the exchange goes");
        drop(channel);
        stage.publish("nobody", &[]).await;
    }
}

async fn routing(def: &'static Def) {
    let stage = Stage::open(def, &[("exchangeKind", "topic")]).await;
    let mut some =
        stage.subscribe(&[("queueName", &format!("some-{}", stage.topic)), ("routingKey", "a,b.*")]).await;
    let mut none =
        stage.subscribe(&[("queueName", &format!("none-{}", stage.topic)), ("routingKey", "")]).await;
    for key in ["c", "a", "b.1", ""] {
        stage.publish(key, &[("routingKey", key)]).await;
    }
    assert_eq!((some.text().await, some.text().await), ("a".to_owned(), "b.1".to_owned()));
    assert_eq!(none.text().await, "");
}

async fn priorities(def: &'static Def) {
    let stage = Stage::open(def, &[&[("concurrencyMode", "single")], KEEPING].concat()).await;
    let asked = [("maxPriority", "10")];
    drop(stage.subscribe(&asked).await);
    for priority in ["1", "9", "5"] {
        stage.publish(priority, &[("priority", priority)]).await;
    }
    let mut member = stage.subscribe(&asked).await;
    let found = [member.text().await, member.text().await, member.text().await];
    assert_eq!(found, ["9", "5", "1"]);
    let bad = stage.broker.publish(&ctx(), stage.message("x", &[("priority", "high")])).await;
    assert_eq!(bad.unwrap_err().field(), Some("metadata.priority"));
}

async fn quorum(def: &'static Def) {
    let stage = Stage::open(def, KEEPING).await;
    let mut member = stage.subscribe(&[("queueType", "quorum")]).await;
    stage.publish("x", &[]).await;
    for attempts in 0..3 {
        let delivery = member.next().await;
        assert_eq!(delivery.attempts, attempts);
        delivery.receipt.again().await.unwrap();
    }
    assert_eq!(member.text().await, "x");
}

async fn mismatch(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let _member = stage.subscribe(&[]).await;
    let other = connect(def, stage.port, &[("exchangeKind", "topic")]).await;
    let error = other.publish(&ctx(), stage.message("x", &[])).await.unwrap_err();
    assert_eq!(error.code().id, "BROKER_UNAVAILABLE");
    assert!(error.help().is_some_and(|help| help.contains("exchangeKind")), "{error:?}");
    let (_, fine) = namespace().await;
    other.publish(&ctx(), Message { topic: fine, ..stage.message("x", &[]) }).await.unwrap();
    let long = Message { topic: "t".repeat(256), ..stage.message("x", &[]) };
    let error = other.publish(&ctx(), long).await.unwrap_err();
    assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")));
}

async fn properties(def: &'static Def) {
    let stage = Stage::open(def, &[("publishMessagePropertiesToMetadata", "true")]).await;
    let mut member = stage.subscribe(&[]).await;
    let sent = [("messageId", "m1"), ("correlationID", "c1"), ("type", "t1"), ("contentType", "text/x")];
    stage.publish("x", &sent).await;
    let delivery = member.next().await;
    let wanted = [("messageid", "m1"), ("correlationid", "c1"), ("type", "t1"), ("contenttype", "text/x")];
    assert_eq!(delivery.message.metadata, map(&wanted));
    assert_eq!(delivery.message.content_type.as_deref(), Some("text/x"));
}
