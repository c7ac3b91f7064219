//! The rig of JetStream: a stream of its own on the shared server, or a server of its own; and what it makes of its
//! settings.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use mainstay_components::pubsub::Def;
use mainstay_core::pubsub::{Message, PubSub};
use mainstay_testkit::conformance::pubsub::{Below, Need, Open, Outage as _, Rig};
use mainstay_testkit::servers::nats;

use crate::line::Process;
use crate::opened::{self, Joined, ctx, message};
use crate::{Member, Way, own};

/// Groups as the port knows them, several messages at a time. What a process that ended held comes again in time.
const GROUPS: &[(&str, &str)] =
    &[("consumerID", "rig"), ("deliverPolicy", "new"), ("concurrency", "parallel"), ("ackWait", "4s")];

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = nats::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Rigged::open(def, need).await) as Arc<dyn Rig> })
    });
    let own = vec![
        own("jetstream::a_consumer_is_as_dapr_makes_it", move || layout(def)),
        own("jetstream::a_consumer_that_is_there_is_shared_or_refused", move || shared(def)),
        own("jetstream::without_a_name_a_subscription_begins_anew_each_time", move || nameless(def)),
        own("jetstream::one_at_a_time_keeps_the_order_of_the_stream", move || single(def)),
        own("jetstream::a_topic_that_no_stream_has_is_told_with_what_to_do", move || no_stream(def)),
        own("jetstream::an_event_is_stored_once_and_its_dead_letter_too", move || once(def)),
        own("jetstream::a_topic_may_have_wildcards", move || wildcards(def)),
        own("jetstream::what_needs_no_settling_does_not_come_again", move || unsettled(def)),
        own("jetstream::a_consumer_that_is_gone_ends_its_stream", move || gone(def)),
    ];
    Way::new("jetstream", open).with(own).into()
}

struct Rigged {
    def: &'static Def,
    port: u16,
    name: String,
    process: Process,
    below: Below,
}

async fn connect(def: &Def, port: u16, settings: &[(&str, &str)]) -> Arc<dyn PubSub> {
    let server = format!("nats://127.0.0.1:{port}");
    opened::open(def, &[&[("natsURL", server.as_str())], settings].concat()).await.unwrap()
}

/// A client that is not ours, and a stream for every subject that begins with the name.
async fn stream(port: u16, name: &str) -> Context {
    let context = jetstream::new(async_nats::connect(format!("127.0.0.1:{port}")).await.unwrap());
    let config = Config { name: name.to_owned(), subjects: vec![format!("{name}.>")], ..Config::default() };
    context.create_stream(config).await.unwrap();
    context
}

impl Rigged {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((port, name), below) = nats::place(need).await;
        stream(port, &name).await;
        let process = Process::begin(port, move |port| connect(def, port, GROUPS)).await;
        Self { def, port, name, process, below }
    }
}

#[async_trait]
impl Rig for Rigged {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.process.broker)
    }

    fn topic(&self, name: &str) -> String {
        // A star stands for every word; no message can be published to it.
        format!("{}.{}", self.name, name.replace('*', "star"))
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(connect(self.def, self.port, GROUPS).await)
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

/// A broker with settings, a stream of its own, and a client that is not ours.
struct Stage {
    port: u16,
    name: String,
    bare: Context,
    broker: Arc<dyn PubSub>,
}

impl Stage {
    async fn open(def: &Def, settings: &[(&str, &str)]) -> Self {
        let (port, name) = tokio::task::spawn_blocking(nats::namespace).await.unwrap();
        let bare = stream(port, &name).await;
        Self { port, bare, broker: connect(def, port, settings).await, name }
    }

    fn topic(&self) -> String {
        format!("{}.t", self.name)
    }

    async fn publish(&self, text: &str) {
        self.broker.publish(&ctx(), message(&self.topic(), text, &[])).await.unwrap();
    }

    async fn subscribe(&self) -> mainstay_core::Result<Joined> {
        subscribe(&self.broker, &self.topic()).await
    }
}

async fn subscribe(broker: &Arc<dyn PubSub>, topic: &str) -> mainstay_core::Result<Joined> {
    Joined::with(broker, topic, "g", &[]).await
}

async fn layout(def: &'static Def) {
    let stage = Stage::open(
        def,
        &[
            ("durableName", "d"),
            ("queueGroupName", "q"),
            ("maxAckPending", "7"),
            ("maxDeliver", "5"),
            ("backOff", "1s,2s"),
            ("heartbeat", "5s"),
            ("flowControl", "true"),
            ("memoryStorage", "true"),
            ("rateLimit", "1000000"),
        ],
    )
    .await;
    let mut member = stage.subscribe().await.unwrap();
    let stream = stage.bare.get_stream(&stage.name).await.unwrap();
    let info = stream.consumer_info("d").await.unwrap();
    let config = info.config;
    assert!(config.deliver_subject.is_some_and(|subject| subject.starts_with("_INBOX.")));
    assert_eq!((config.durable_name.as_deref(), config.deliver_group.as_deref()), (Some("d"), Some("q")));
    assert_eq!((config.filter_subject, config.ack_policy), (stage.topic(), AckPolicy::Explicit));
    assert_eq!((config.max_ack_pending, config.max_deliver, config.rate_limit), (7, 5, 1_000_000));
    assert_eq!(config.backoff, [1, 2].map(Duration::from_secs));
    assert!(config.flow_control && config.memory_storage && config.idle_heartbeat == Duration::from_secs(5));
    stage.publish("x").await;
    assert_eq!(member.text().await, "x");
}

async fn shared(def: &'static Def) {
    let settings = [("durableName", "d"), ("queueGroupName", "q")];
    let stage = Stage::open(def, &settings).await;
    let mut one = stage.subscribe().await.unwrap();
    let sibling = connect(def, stage.port, &settings).await;
    let mut other = subscribe(&sibling, &stage.topic()).await.unwrap();
    for n in 0..20 {
        stage.publish(&n.to_string()).await;
    }
    for _ in 0..20 {
        let delivery = tokio::select! { one = one.next() => one, other = other.next() => other };
        delivery.receipt.done().await.unwrap();
    }
    one.is_quiet().await;
    other.is_quiet().await;
    let refused = |why: &str, outcome: mainstay_core::Result<Joined>| {
        let error = outcome.err().unwrap_or_else(|| panic!("it is refused: {why}"));
        assert!(error.code().id == "BROKER_UNAVAILABLE" && error.help().is_some(), "{why}: {error:?}");
    };
    refused("it is for another topic", subscribe(&sibling, &format!("{}.other", stage.name)).await);
    let groupless = connect(def, stage.port, &[("durableName", "d")]).await;
    refused("it is of a queue group", subscribe(&groupless, &stage.topic()).await);
    let alone = connect(def, stage.port, &[("durableName", "alone")]).await;
    let mut first = subscribe(&alone, &stage.topic()).await.unwrap();
    // Once something came, the server has seen that somebody listens.
    assert_eq!(first.text().await, "0");
    refused("somebody listens already", subscribe(&alone, &stage.topic()).await);
}

async fn nameless(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    assert!(!stage.broker.capabilities().durable);
    stage.publish("a").await;
    for _ in 0..2 {
        let (mut one, mut other) = (stage.subscribe().await.unwrap(), stage.subscribe().await.unwrap());
        assert_eq!((one.text().await, other.text().await), ("a".to_owned(), "a".to_owned()));
        one.is_quiet().await;
    }
}

async fn single(def: &'static Def) {
    let stage = Stage::open(def, &[("consumerID", "c")]).await;
    let mut member = stage.subscribe().await.unwrap();
    for n in 0..5 {
        stage.publish(&n.to_string()).await;
    }
    for n in 0..5 {
        let delivery = member.next().await;
        assert_eq!(delivery.message.data, n.to_string());
        member.is_quiet().await;
        delivery.receipt.done().await.unwrap();
    }
}

async fn no_stream(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let elsewhere = Message { topic: "nowhere.t".to_owned(), ..Message::default() };
    let published = stage.broker.publish(&ctx(), elsewhere).await.unwrap_err();
    let subscribed = subscribe(&stage.broker, "nowhere.t").await.err().unwrap();
    for error in [published, subscribed] {
        assert_eq!(error.message(), "no stream of JetStream has the subject `nowhere.t`");
        assert!(error.help().is_some_and(|help| help.contains("nats stream add")));
    }
    let named = connect(def, stage.port, &[("streamName", "none")]).await;
    let error = subscribe(&named, &stage.topic()).await.err().unwrap();
    assert_eq!(error.message(), "subscribe: there is no stream `none`");
    let star = Message { topic: format!("{}.*", stage.name), ..Message::default() };
    let error = stage.broker.publish(&ctx(), star).await.unwrap_err();
    assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")));
}

async fn once(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut member = stage.subscribe().await.unwrap();
    for _ in 0..3 {
        stage.publish("{\"id\": \"e1\"}").await;
    }
    let letter = message(&format!("{}.dead", stage.name), "{\"id\": \"e1\"}", &[("deadLetterReason", "why")]);
    stage.broker.publish(&ctx(), letter).await.unwrap();
    let mut dead = subscribe(&stage.broker, &format!("{}.dead", stage.name)).await.unwrap();
    assert_eq!(
        (member.text().await, dead.text().await),
        ("{\"id\": \"e1\"}".into(), "{\"id\": \"e1\"}".into())
    );
    member.is_quiet().await;
}

async fn wildcards(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let topic = format!("{}.*", stage.name);
    let mut member = subscribe(&stage.broker, &topic).await.unwrap();
    stage.publish("x").await;
    let delivery = member.next().await;
    assert_eq!(
        (&delivery.message.topic, delivery.message.metadata.get("Topic")),
        (&topic, Some(&stage.topic()))
    );
}

async fn unsettled(def: &'static Def) {
    let stage = Stage::open(def, &[("ackPolicy", "none"), ("consumerID", "c")]).await;
    let mut member = stage.subscribe().await.unwrap();
    stage.publish("a").await;
    member.next().await.receipt.again().await.unwrap();
    stage.publish("b").await;
    assert_eq!(member.text().await, "b");
    member.is_quiet().await;
}

async fn gone(def: &'static Def) {
    let ((port, name), below) = nats::place(Need::Server).await;
    let bare = stream(port, &name).await;
    let broker = connect(def, port, &[("durableName", "d")]).await;
    let mut member = subscribe(&broker, "own.t").await.unwrap();
    bare.delete_consumer_from_stream("d", "own").await.unwrap();
    below.stop().await;
    below.start().await;
    assert_eq!(member.item().await.unwrap().unwrap_err().code().id, "BROKER_UNAVAILABLE");
    assert!(member.item().await.is_none());
}
