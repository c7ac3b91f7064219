//! The rig of JetStream: a stream of its own on the shared server, or a server of its own; and what it makes of its settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_components::pubsub::Def;
use mainstay_core::Ctx;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_testkit::conformance::pubsub::{Need, Open, Rig};
use mainstay_testkit::servers::{Server, nats};
use tokio::sync::Mutex;

use crate::line::Line;
use crate::{Member, Way, opened, own};

/// Groups as the port knows them, several messages at a time. What a process that ended held comes again in time.
const GROUPS: &[(&str, &str)] =
    &[("consumerID", "rig"), ("deliverPolicy", "new"), ("concurrency", "parallel"), ("ackWait", "4s")];
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must come for it to be believed that nothing does.
const QUIET: Duration = Duration::from_millis(200);

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
    Member::Ways(vec![Way { name: "jetstream", open, not_run: Vec::new(), own }])
}

struct Rigged {
    def: &'static Def,
    port: u16,
    name: String,
    /// The present broker, and its way to the server: cut when its process is to end.
    present: Mutex<(Arc<dyn PubSub>, Line)>,
    broker: Arc<dyn PubSub>,
    own: Option<Arc<Server>>,
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
        let server = tokio::task::spawn_blocking(move || match need {
            Need::Namespace => (nats::namespace(), None),
            Need::Server => {
                let server = nats::RECIPE.start();
                ((server.port(), "own".to_owned()), Some(Arc::new(server)))
            }
        });
        let ((port, name), own) = server.await.unwrap();
        stream(port, &name).await;
        let line = Line::to(port).await;
        let broker = connect(def, line.port, GROUPS).await;
        Self { def, port, name, present: Mutex::new((Arc::clone(&broker), line)), broker, own }
    }

    async fn server(&self, act: fn(&Server)) {
        let server = Arc::clone(self.own.as_ref().expect("the check asked for a server of its own"));
        tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
    }
}

#[async_trait]
impl Rig for Rigged {
    fn broker(&self) -> Arc<dyn PubSub> {
        Arc::clone(&self.broker)
    }

    fn topic(&self, name: &str) -> String {
        // A star stands for every word; no message can be published to it.
        format!("{}.{}", self.name, name.replace('*', "star"))
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(connect(self.def, self.port, GROUPS).await)
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        // What the broker has said by now reaches the server.
        let mut present = self.present.lock().await;
        present.0.ready(&Ctx::system()).await.unwrap();
        let line = Line::to(self.port).await;
        let broker = connect(self.def, line.port, GROUPS).await;
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

/// A broker with settings, a stream of its own, and a client that is not ours.
struct Stage {
    port: u16,
    name: String,
    bare: Context,
    broker: Arc<dyn PubSub>,
}

type Stream = mainstay_core::BoxStream<mainstay_core::Result<Delivery>>;

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
        let data = Bytes::from(text.to_owned());
        let message = Message { topic: self.topic(), data, ..Message::default() };
        self.broker.publish(&Ctx::system(), message).await.unwrap();
    }

    async fn subscribe(&self) -> mainstay_core::Result<Stream> {
        subscribe(&self.broker, &self.topic()).await
    }
}

async fn subscribe(broker: &Arc<dyn PubSub>, topic: &str) -> mainstay_core::Result<Stream> {
    let (topic, group) = (topic.to_owned(), "g".to_owned());
    broker.subscribe(&Ctx::system(), Subscription { topic, group, metadata: BTreeMap::new() }).await
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
    assert_eq!(text(&mut member).await, "x");
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
        let delivery = tokio::select! { one = next(&mut one) => one, other = next(&mut other) => other };
        delivery.receipt.done().await.unwrap();
    }
    is_quiet(&mut one).await;
    is_quiet(&mut other).await;
    let refused = |why: &str, outcome: mainstay_core::Result<Stream>| {
        let error = outcome.err().unwrap_or_else(|| panic!("it is refused: {why}"));
        assert!(error.code().id == "BROKER_UNAVAILABLE" && error.help().is_some(), "{why}: {error:?}");
    };
    refused("it is for another topic", subscribe(&sibling, &format!("{}.other", stage.name)).await);
    let groupless = connect(def, stage.port, &[("durableName", "d")]).await;
    refused("it is of a queue group", subscribe(&groupless, &stage.topic()).await);
    let alone = connect(def, stage.port, &[("durableName", "alone")]).await;
    let mut first = subscribe(&alone, &stage.topic()).await.unwrap();
    // Once something came, the server has seen that somebody listens.
    assert_eq!(text(&mut first).await, "0");
    refused("somebody listens already", subscribe(&alone, &stage.topic()).await);
}

async fn nameless(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    assert!(!stage.broker.capabilities().durable);
    stage.publish("a").await;
    for _ in 0..2 {
        let (mut one, mut other) = (stage.subscribe().await.unwrap(), stage.subscribe().await.unwrap());
        assert_eq!((text(&mut one).await, text(&mut other).await), ("a".to_owned(), "a".to_owned()));
        is_quiet(&mut one).await;
    }
}

async fn single(def: &'static Def) {
    let stage = Stage::open(def, &[("consumerID", "c")]).await;
    let mut member = stage.subscribe().await.unwrap();
    for n in 0..5 {
        stage.publish(&n.to_string()).await;
    }
    for n in 0..5 {
        let delivery = next(&mut member).await;
        assert_eq!(delivery.message.data, n.to_string());
        is_quiet(&mut member).await;
        delivery.receipt.done().await.unwrap();
    }
}

async fn no_stream(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let elsewhere = Message { topic: "nowhere.t".to_owned(), ..Message::default() };
    let published = stage.broker.publish(&Ctx::system(), elsewhere).await.unwrap_err();
    let subscribed = subscribe(&stage.broker, "nowhere.t").await.err().unwrap();
    for error in [published, subscribed] {
        assert_eq!(error.message(), "no stream of JetStream has the subject `nowhere.t`");
        assert!(error.help().is_some_and(|help| help.contains("nats stream add")));
    }
    let named = connect(def, stage.port, &[("streamName", "none")]).await;
    let error = subscribe(&named, &stage.topic()).await.err().unwrap();
    assert_eq!(error.message(), "subscribe: there is no stream `none`");
    let star = Message { topic: format!("{}.*", stage.name), ..Message::default() };
    let error = stage.broker.publish(&Ctx::system(), star).await.unwrap_err();
    assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some("topic")));
}

async fn once(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let mut member = stage.subscribe().await.unwrap();
    for _ in 0..3 {
        stage.publish("{\"id\": \"e1\"}").await;
    }
    let letter = Message {
        topic: format!("{}.dead", stage.name),
        data: "{\"id\": \"e1\"}".into(),
        content_type: None,
        metadata: BTreeMap::from([("deadLetterReason".to_owned(), "why".to_owned())]),
    };
    stage.broker.publish(&Ctx::system(), letter).await.unwrap();
    let mut dead = subscribe(&stage.broker, &format!("{}.dead", stage.name)).await.unwrap();
    assert_eq!(
        (text(&mut member).await, text(&mut dead).await),
        ("{\"id\": \"e1\"}".into(), "{\"id\": \"e1\"}".into())
    );
    is_quiet(&mut member).await;
}

async fn wildcards(def: &'static Def) {
    let stage = Stage::open(def, &[]).await;
    let topic = format!("{}.*", stage.name);
    let mut member = subscribe(&stage.broker, &topic).await.unwrap();
    stage.publish("x").await;
    let delivery = next(&mut member).await;
    assert_eq!(
        (&delivery.message.topic, delivery.message.metadata.get("Topic")),
        (&topic, Some(&stage.topic()))
    );
}

async fn unsettled(def: &'static Def) {
    let stage = Stage::open(def, &[("ackPolicy", "none"), ("consumerID", "c")]).await;
    let mut member = stage.subscribe().await.unwrap();
    stage.publish("a").await;
    next(&mut member).await.receipt.again().await.unwrap();
    stage.publish("b").await;
    assert_eq!(text(&mut member).await, "b");
    is_quiet(&mut member).await;
}

async fn gone(def: &'static Def) {
    let server = Arc::new(tokio::task::spawn_blocking(|| nats::RECIPE.start()).await.unwrap());
    let bare = stream(server.port(), "own").await;
    let broker = connect(def, server.port(), &[("durableName", "d")]).await;
    let mut member = subscribe(&broker, "own.t").await.unwrap();
    bare.delete_consumer_from_stream("d", "own").await.unwrap();
    let again = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        again.stop();
        again.start();
    })
    .await
    .unwrap();
    let last = tokio::time::timeout(PATIENCE, member.next()).await.expect("the stream ends").unwrap();
    assert_eq!(last.unwrap_err().code().id, "BROKER_UNAVAILABLE");
    assert!(member.next().await.is_none());
}
