//! Several messages in one call: an app that knows the method of today, the older one, or neither.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use mainstay_core::callback::BulkEntry;
use mainstay_proto::runtime::v1::app_callback_alpha_server::{
    AppCallbackAlpha as ServedAlpha, AppCallbackAlphaServer,
};
use wire::topic_event_bulk_request_entry::Event as Content;

use super::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    Today,
    Older,
    Neither,
}

/// An app that keeps what it was sent, and says of each message what its id asks for.
#[derive(Clone)]
struct Bulky {
    knows: Knows,
    calls: Arc<Mutex<Vec<(Knows, wire::TopicEventBulkRequest)>>>,
}

type Answer = std::result::Result<Response<wire::TopicEventBulkResponse>, Status>;

impl Bulky {
    fn answer(&self, asked: Knows, request: Request<wire::TopicEventBulkRequest>) -> Answer {
        if self.knows != asked {
            return Err(Status::unimplemented(""));
        }
        let said = |name: &str| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(said("dapr-api-token").as_deref(), Some("for-the-app"));
        assert_eq!(said("pubsubname").as_deref(), Some("bus"));
        let request = request.into_inner();
        let failed = request.path == "/ill";
        let status = |id: &str| match id {
            "done" => Some(0),
            "again" => Some(1),
            "drop" => Some(2),
            "odd" => Some(7),
            _ => None,
        };
        let statuses = request.entries.iter().filter_map(|entry| {
            Some(wire::TopicEventBulkResponseEntry {
                entry_id: entry.entry_id.clone(),
                status: status(&entry.entry_id)?,
            })
        });
        let stranger = wire::TopicEventBulkResponseEntry { entry_id: "stranger".to_owned(), status: 0 };
        let statuses = statuses.chain([stranger]).collect();
        self.calls.lock().unwrap().push((asked, request));
        if failed {
            Err(Status::unavailable("later"))
        } else {
            Ok(Response::new(wire::TopicEventBulkResponse { statuses }))
        }
    }
}

#[tonic::async_trait]
impl Served for Bulky {
    async fn on_bulk_topic_event(&self, request: Request<wire::TopicEventBulkRequest>) -> Answer {
        self.answer(Knows::Today, request)
    }
}

#[tonic::async_trait]
impl ServedAlpha for Bulky {
    async fn on_bulk_topic_event_alpha1(&self, request: Request<wire::TopicEventBulkRequest>) -> Answer {
        self.answer(Knows::Older, request)
    }
}

/// Both services, told apart by their path.
#[derive(Clone)]
struct Both(AppCallbackServer<Bulky>, AppCallbackAlphaServer<Bulky>);

impl Service<http::Request<hyper::body::Incoming>> for Both {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/dapr.proto.runtime.v1.AppCallbackAlpha/") {
            self.1.call(request)
        } else {
            self.0.call(request)
        }
    }
}

async fn start(knows: Knows) -> (Bulky, GrpcApp, tokio_util::sync::DropGuard) {
    let app = Bulky { knows, calls: Arc::default() };
    let both = Both(AppCallbackServer::new(app.clone()), AppCallbackAlphaServer::new(app.clone()));
    let (client, stop) = start_serving(both).await;
    (app, client, stop)
}

fn entry(id: &str, content: &'static str, is_envelope: bool) -> BulkEntry {
    BulkEntry {
        id: id.to_owned(),
        content: content.into(),
        is_envelope,
        content_type: "text/plain".to_owned(),
        metadata: [("key".to_owned(), "7".to_owned())].into(),
    }
}

fn event(path: &str, entries: Vec<BulkEntry>) -> BulkEvent {
    BulkEvent {
        id: "call".to_owned(),
        path: path.to_owned(),
        pubsub: "bus".to_owned(),
        topic: "t".to_owned(),
        entries,
    }
}

const ENVELOPE: &str = r#"{"id":"1","source":"shop","type":"made","specversion":"1.0","datacontenttype":"application/json","data":{"n":1},"topic":"t","pubsubname":"bus","colour":"blue"}"#;

#[tokio::test]
async fn each_message_has_its_verdict_and_one_that_is_not_named_comes_again() {
    let (app, client, _stop) = start(Knows::Today).await;
    let broken = r#"{"id":"1","data_base64":7}"#;
    let ids = ["done", "again", "drop", "odd", "not named"];
    let mut entries: Vec<_> = ids.into_iter().map(|id| entry(id, ENVELOPE, true)).collect();
    entries.push(entry("broken", broken, true));
    let verdicts = client.deliver_bulk(&Ctx::system(), &event("/p", entries)).await.unwrap();
    let (done, again, drop) = (Verdict::Done, Verdict::Again, Verdict::Drop);
    assert_eq!(verdicts, [done, again, drop, again, again, drop], "what can never be sent is dropped");
    let (_, sent) = app.calls.lock().unwrap().remove(0);
    assert_eq!(sent.entries.len(), ids.len());
    let said = [&sent.id, &sent.path, &sent.topic, &sent.pubsub_name, &sent.r#type];
    assert_eq!(said, ["call", "/p", "t", "bus", "com.dapr.event.sent.bulk"]);
    assert_eq!(sent.metadata["pubsubName"], "bus");
}

#[tokio::test]
async fn an_event_is_out_of_its_envelope_and_bytes_without_one_are_as_they_were() {
    let (app, client, _stop) = start(Knows::Today).await;
    let entries = vec![entry("done", ENVELOPE, true), entry("again", "raw", false)];
    client.deliver_bulk(&Ctx::system(), &event("", entries)).await.unwrap();
    let (_, mut sent) = app.calls.lock().unwrap().remove(0);
    assert_eq!(sent.entries[1].event, Some(Content::Bytes("raw".into())));
    assert_eq!(
        (sent.entries[1].content_type.as_str(), &*sent.entries[1].metadata["key"]),
        ("text/plain", "7")
    );
    let Some(Content::CloudEvent(event)) = sent.entries.remove(0).event else { panic!("it is an event") };
    let said = [&event.id, &event.source, &event.r#type, &event.spec_version, &event.data_content_type];
    assert_eq!(said, ["1", "shop", "made", "1.0", "application/json"]);
    assert_eq!(event.data, r#"{"n":1}"#);
    assert!(event.extensions.unwrap().fields.contains_key("colour"));
}

#[tokio::test]
async fn an_app_that_knows_the_older_name_alone_is_asked_by_it() {
    let (app, client, _stop) = start(Knows::Older).await;
    let event = event("/p", vec![entry("done", ENVELOPE, true)]);
    assert_eq!(client.deliver_bulk(&Ctx::system(), &event).await.unwrap(), [Verdict::Done]);
    assert!(app.calls.lock().unwrap()[0].0 == Knows::Older);
}

#[tokio::test]
async fn an_app_that_knows_neither_name_takes_no_such_calls() {
    let (_, client, _stop) = start(Knows::Neither).await;
    let event = event("/p", vec![entry("done", ENVELOPE, true)]);
    let error = client.deliver_bulk(&Ctx::system(), &event).await.unwrap_err();
    assert_eq!(error.code(), &codes::UNSUPPORTED);
}

#[tokio::test]
async fn a_failure_of_the_whole_call_shows_its_code() {
    let (_, client, _stop) = start(Knows::Today).await;
    let event = event("/ill", vec![entry("done", ENVELOPE, true)]);
    let error = client.deliver_bulk(&Ctx::system(), &event).await.unwrap_err();
    assert_eq!((error.code(), error.answer()), (&codes::APP_FAILED, Some(14)));
}
