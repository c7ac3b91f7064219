//! The rig of Kafka: topics and a group of its own on the shared server, or a server of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_components::bindings::Def;
use mainstay_core::binding::{Binding, Event, Operation};
use mainstay_core::{BoxStream, Ctx, Result};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Below, Need, Open, Rig};
use mainstay_testkit::servers::kafka;

use crate::{Member, Way, clock, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = kafka::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Kafka::open(def, need).await) as Arc<dyn Rig> }));
    let own = vec![
        own("kafka::an_event_that_failed_comes_again_before_what_follows_in_its_partition", move || {
            again(def)
        }),
        own("kafka::what_was_done_is_committed_and_what_was_not_comes_to_the_next", move || committed(def)),
        own("kafka::events_of_several_topics_bear_key_place_and_headers", move || several(def)),
        own("kafka::a_failure_is_passed_over_where_the_settings_say_so", move || passed_over(def)),
        own("kafka::without_topics_nothing_goes_in_or_out", move || none(def)),
    ];
    Way::new("kafka", open).with(own).into()
}

/// Longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Groups that notice soon who has gone, and messages that come again soon.
const SOON: [(&str, &str); 3] =
    [("sessionTimeout", "3s"), ("heartbeatInterval", "100ms"), ("consumeRetryInterval", "10ms")];

struct Kafka {
    binding: Arc<dyn Binding>,
    place: Place,
    below: Below,
}

/// Names of its own on a server.
struct Place {
    def: &'static Def,
    address: String,
    number: u32,
}

impl Place {
    async fn shared(def: &'static Def) -> Self {
        let (address, number) = kafka::place(Need::Namespace).await.0;
        Self { def, address, number }
    }

    /// A binding of topics here, those of a list and the one that is published to.
    async fn open(&self, topics: &[&str], publish: &str, more: &[(&str, &str)]) -> Arc<dyn Binding> {
        let name = |topic: &str| format!("bound-{topic}-{}", self.number);
        let topics: Vec<String> = topics.iter().map(|topic| name(topic)).collect();
        let (topics, publish, group) = (topics.join(","), name(publish), name("group"));
        let here = [
            ("brokers", self.address.as_str()),
            ("authType", "none"),
            ("topics", &topics),
            ("publishTopic", &publish),
            ("consumerGroup", &group),
        ];
        let settings = [&here[..], &SOON, more].concat();
        let opened =
            components::open_with(self.def, &settings, Path::new("."), &components::NoStores, &clock()).await;
        opened.unwrap()
    }
}

impl Kafka {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((address, number), below) = kafka::place(need).await;
        let place = Place { def, address, number };
        Self { binding: place.open(&["t"], "t", &[]).await, place, below }
    }
}

async fn publish(binding: &Arc<dyn Binding>, data: &'static str, metadata: &[(&str, &str)]) {
    let done = binding.invoke(&Ctx::system(), operation("create", data, metadata)).await.unwrap();
    assert_eq!(done, None);
}

async fn listen(binding: &Arc<dyn Binding>) -> BoxStream<Result<Event>> {
    binding.events(&Ctx::system()).await.unwrap()
}

async fn next(events: &mut BoxStream<Result<Event>>) -> Event {
    let next = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event comes");
    next.expect("the stream goes on").unwrap()
}

async fn done(event: Event) {
    event.receipt.done(Bytes::new()).await.unwrap();
}

async fn again(def: &'static Def) {
    let rig = Kafka::open(def, Need::Namespace).await;
    let mut events = listen(&rig.binding).await;
    for (data, key) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        publish(&rig.binding, data, &[("partitionKey", key)]).await;
    }
    let mut first = BTreeMap::new();
    for _ in 0..2 {
        let event = next(&mut events).await;
        first.insert(event.data.clone(), event);
    }
    let (a, b) = (first.remove(&b"a1"[..]).unwrap(), first.remove(&b"b1"[..]).unwrap());
    assert_ne!(a.metadata["__partition"], b.metadata["__partition"], "one of each partition is out");
    a.receipt.failed("the app is not itself today").await.unwrap();
    let a = next(&mut events).await;
    assert_eq!(a.data, "a1");
    done(a).await;
    let a = next(&mut events).await;
    assert_eq!(a.data, "a2");
    done(a).await;
    done(b).await;
}

async fn committed(def: &'static Def) {
    let rig = Kafka::open(def, Need::Namespace).await;
    let mut events = listen(&rig.binding).await;
    for data in ["1", "2", "3"] {
        publish(&rig.binding, data, &[("partitionKey", "k")]).await;
    }
    done(next(&mut events).await).await;
    let second = next(&mut events).await;
    assert_eq!(second.data, "2");
    drop((events, second));
    // Another process, of the same group.
    let binding = rig.place.open(&["t"], "t", &[]).await;
    let mut events = listen(&binding).await;
    for data in ["2", "3"] {
        let event = next(&mut events).await;
        assert_eq!(event.data, data);
        done(event).await;
    }
}

async fn several(def: &'static Def) {
    let place = Place::shared(def).await;
    let reading = place.open(&["x", "y"], "x", &[]).await;
    let other = place.open(&[], "y", &[]).await;
    let mut events = listen(&reading).await;
    publish(&reading, "to x", &[("partitionKey", "k"), ("colour", "blue")]).await;
    let event = next(&mut events).await;
    assert_eq!(event.data, "to x");
    let said = |name: &str| event.metadata.get(name).map(String::as_str);
    assert_eq!((said("__key"), said("colour"), said("__offset")), (Some("k"), Some("blue"), Some("0")));
    assert_eq!(said("__topic"), Some(format!("bound-x-{}", place.number).as_str()));
    done(event).await;
    publish(&other, "to y", &[("partitionKey", "")]).await;
    let event = next(&mut events).await;
    assert_eq!(event.data, "to y");
    assert!(!event.metadata.contains_key("__key"), "a key that is empty is none");
    done(event).await;
}

async fn passed_over(def: &'static Def) {
    let place = Place::shared(def).await;
    let binding = place.open(&["t"], "t", &[("consumeRetryEnabled", "false")]).await;
    let mut events = listen(&binding).await;
    for data in ["1", "2"] {
        publish(&binding, data, &[("partitionKey", "k")]).await;
    }
    let event = next(&mut events).await;
    assert_eq!(event.data, "1");
    event.receipt.failed("no").await.unwrap();
    assert_eq!(next(&mut events).await.data, "2");
}

async fn none(def: &'static Def) {
    let place = Place::shared(def).await;
    let settings = [("brokers", place.address.as_str()), ("authType", "none")];
    let opened =
        components::open_with(def, &settings, Path::new("."), &components::NoStores, &clock()).await.unwrap();
    assert!(!opened.capabilities().events);
    let error = opened.events(&Ctx::system()).await.err().expect("there are no events");
    assert_eq!(error.code().id, "UNSUPPORTED");
    let error = opened.invoke(&Ctx::system(), operation("create", "x", &[])).await.unwrap_err();
    assert_eq!((error.code().id, error.help().unwrap().contains("publishTopic")), ("INVALID_FIELD", true));
}

#[async_trait]
impl Rig for Kafka {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        vec![operation("create", "1", &[("partitionKey", "k")])]
    }

    async fn provoke(&self) {
        publish(&self.binding, "happened", &[("partitionKey", "k")]).await;
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
