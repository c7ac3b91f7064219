//! Subscriptions by a stream.

use mainstay_proto::runtime::v1::*;
use subscribe_topic_events_request_alpha1::SubscribeTopicEventsRequestType as Asked;
use subscribe_topic_events_response_alpha1::SubscribeTopicEventsResponseType as Told;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use topic_event_response::TopicEventResponseStatus as Verdict;

use crate::house::{House, check};

/// The app's end of a subscription.
struct Stream {
    asks: mpsc::Sender<SubscribeTopicEventsRequestAlpha1>,
    told: Streaming<SubscribeTopicEventsResponseAlpha1>,
}

fn ask(broker: &str, topic: &str) -> SubscribeTopicEventsRequestInitialAlpha1 {
    SubscribeTopicEventsRequestInitialAlpha1 {
        pubsub_name: broker.to_owned(),
        topic: topic.to_owned(),
        ..Default::default()
    }
}

impl Stream {
    async fn open(house: &House, first: Asked) -> Result<Self, Status> {
        let (asks, mut queue) = mpsc::channel(8);
        asks.send(wire(first)).await.unwrap();
        let queue = futures_util::stream::poll_fn(move |ctx| queue.poll_recv(ctx));
        let told = house.client().await.subscribe_topic_events_alpha1(queue).await?.into_inner();
        Ok(Self { asks, told })
    }

    /// A subscription to `orders` that is agreed to.
    async fn joined(house: &House, first: SubscribeTopicEventsRequestInitialAlpha1) -> Self {
        let mut stream = Self::open(house, Asked::InitialRequest(first)).await.unwrap();
        let told = stream.told.message().await.unwrap().unwrap();
        let agreed = Some(Told::InitialResponse(SubscribeTopicEventsResponseInitialAlpha1 {}));
        assert_eq!(told.subscribe_topic_events_response_type, agreed);
        stream
    }

    async fn event(&mut self) -> TopicEventRequest {
        match self.told.message().await.unwrap().unwrap().subscribe_topic_events_response_type {
            Some(Told::EventMessage(event)) => event,
            other => panic!("not an event: {other:?}"),
        }
    }

    async fn answer(&self, id: &str, verdict: Verdict) {
        let status = Some(TopicEventResponse { status: verdict.into() });
        let done = SubscribeTopicEventsRequestProcessedAlpha1 { id: id.to_owned(), status };
        self.asks.send(wire(Asked::EventProcessed(done))).await.unwrap();
    }
}

fn wire(asked: Asked) -> SubscribeTopicEventsRequestAlpha1 {
    SubscribeTopicEventsRequestAlpha1 { subscribe_topic_events_request_type: Some(asked) }
}

async fn publish(house: &House, data: &str) {
    let event = PublishEventRequest {
        pubsub_name: "bus".to_owned(),
        topic: "orders".to_owned(),
        data: data.to_owned().into(),
        data_content_type: "application/json".to_owned(),
        ..Default::default()
    };
    house.client().await.publish_event(event).await.unwrap();
}

#[tokio::test]
async fn events_come_out_of_their_envelope() {
    let house = House::new().await;
    let mut stream = Stream::joined(&house, ask("bus", "orders")).await;
    publish(&house, "{\"n\": 1}").await;
    let event = stream.event().await;
    assert_eq!((&*event.data, event.data_content_type.as_str()), (&b"{\"n\":1}"[..], "application/json"));
    let place = (event.pubsub_name.as_str(), event.topic.as_str(), event.path.as_str());
    assert_eq!(place, ("bus", "orders", "/"));
    assert_eq!((event.source.as_str(), event.spec_version.as_str()), ("shop", "1.0"));
    assert_eq!(event.r#type, "com.dapr.event.sent");
    assert!(event.extensions.unwrap().fields.contains_key("pubsubname"));
    // The next does not wait for its answer.
    publish(&house, "2").await;
    let second = stream.event().await;
    stream.answer(&second.id, Verdict::Success).await;
    stream.answer(&event.id, Verdict::Success).await;
}

#[tokio::test]
async fn an_event_comes_again_where_the_app_says_so() {
    let house = House::new().await;
    let mut stream = Stream::joined(&house, ask("bus", "orders")).await;
    publish(&house, "1").await;
    let event = stream.event().await;
    stream.answer(&event.id, Verdict::Retry).await;
    assert_eq!(stream.event().await.id, event.id);
}

#[tokio::test]
async fn what_the_app_drops_goes_to_the_dead_letter_topic() {
    let house = House::new().await;
    let dead_letter_topic = Some("dead".to_owned());
    let first = SubscribeTopicEventsRequestInitialAlpha1 { dead_letter_topic, ..ask("bus", "orders") };
    let mut stream = Stream::joined(&house, first).await;
    publish(&house, "1").await;
    let event = stream.event().await;
    stream.answer(&event.id, Verdict::Drop).await;
    house.published_to("dead").await;
}

#[tokio::test]
async fn what_is_unanswered_at_the_end_comes_to_the_next() {
    let house = House::new().await;
    let mut stream = Stream::joined(&house, ask("bus", "orders")).await;
    publish(&house, "1").await;
    let event = stream.event().await;
    drop(stream);
    let mut next = Stream::joined(&house, ask("bus", "orders")).await;
    assert_eq!(next.event().await.id, event.id);
}

#[tokio::test]
async fn the_end_of_the_process_hears_out_what_is_with_the_app() {
    let house = House::new().await;
    let mut stream = Stream::joined(&house, ask("bus", "orders")).await;
    publish(&house, "1").await;
    let event = stream.event().await;
    house.surface.set_draining();
    publish(&house, "2").await;
    stream.answer(&event.id, Verdict::Success).await;
    assert_eq!(stream.told.message().await.unwrap_err().code(), Code::Unavailable);
    drop(house);
}

#[tokio::test]
async fn what_is_no_subscription_is_refused() {
    let house = House::new().await;
    let check_first = async |first: Asked, code: Code, because: &str| {
        check(Stream::open(&house, first).await.map(|_| ()), code, because);
    };
    let answer = Asked::EventProcessed(SubscribeTopicEventsRequestProcessedAlpha1::default());
    check_first(answer, Code::InvalidArgument, "").await;
    for first in [ask("", "orders"), ask("bus", "")] {
        check_first(Asked::InitialRequest(first), Code::InvalidArgument, "").await;
    }
    let nowhere = Asked::InitialRequest(ask("nowhere", "orders"));
    check_first(nowhere, Code::InvalidArgument, "DAPR_PUBSUB_NOT_FOUND").await;
    let forbidden = Asked::InitialRequest(ask("bus", "secret"));
    check_first(forbidden, Code::PermissionDenied, "DAPR_PUBSUB_FORBIDDEN").await;
    let mut stream = Stream::joined(&house, ask("bus", "orders")).await;
    stream.asks.send(wire(Asked::InitialRequest(ask("bus", "orders")))).await.unwrap();
    assert_eq!(stream.told.message().await.unwrap_err().code(), Code::InvalidArgument);
}
