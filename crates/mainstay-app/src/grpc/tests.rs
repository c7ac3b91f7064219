//! The client against an app of the tests, over a real connection.

mod bulk;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mainstay_core::configuration::Item;
use mainstay_net::client::ClientOptions;
use mainstay_net::server::{ServeOptions, serve};
use mainstay_proto::runtime::v1::app_callback_server::{AppCallback as Served, AppCallbackServer};
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;

use super::*;

/// An app that keeps what it was sent.
#[derive(Clone, Default)]
struct App(Arc<Mutex<Vec<String>>>);

impl App {
    fn keep<T>(&self, request: &Request<T>, what: &str) {
        let shown = |name: &str| request.metadata().get(name).map(|value| value.to_str().unwrap_or("?"));
        let (token, trace) = (shown("dapr-api-token"), shown("traceparent"));
        self.0.lock().unwrap().push(format!("{what} {token:?} {}", trace.is_some()));
    }
}

#[tonic::async_trait]
impl Served for App {
    async fn on_invoke(
        &self,
        request: Request<common::InvokeRequest>,
    ) -> std::result::Result<Response<common::InvokeResponse>, Status> {
        self.keep(&request, &request.get_ref().method);
        let mut answer = match request.get_ref().method.as_str() {
            "fails" | "/configuration/conf/fails" => {
                return Err(Status::with_details(Code::NotFound, "no such order", Bytes::from_static(b"d")));
            }
            _ => Response::new(common::InvokeResponse {
                data: request.into_inner().data,
                content_type: "text/plain".to_owned(),
            }),
        };
        answer.metadata_mut().insert("x-app", MetadataValue::from_static("1"));
        Ok(answer)
    }

    async fn on_topic_event(
        &self,
        request: Request<wire::TopicEventRequest>,
    ) -> std::result::Result<Response<wire::TopicEventResponse>, Status> {
        self.keep(&request, &request.get_ref().topic);
        match &*request.into_inner().data {
            b"none" => Err(Status::unimplemented("")),
            b"ill" => Err(Status::internal("")),
            status => Ok(Response::new(wire::TopicEventResponse { status: i32::from(status[0] - b'0') })),
        }
    }
}

/// An app at work, until the guard is dropped.
async fn start() -> (App, GrpcApp, tokio_util::sync::DropGuard) {
    let app = App::default();
    let (client, stop) = start_serving(AppCallbackServer::new(app.clone())).await;
    (app, client, stop)
}

/// The same for any service.
async fn start_serving<S>(service: S) -> (GrpcApp, tokio_util::sync::DropGuard)
where
    S: Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<tonic::body::Body>,
            Error = Infallible,
        > + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let long = Duration::from_secs(60);
    let options = ServeOptions {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        connections_max: 8,
        close_timeout: long,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, service, options, stop.clone()));
    let url = format!("http://{address}").parse().unwrap();
    let channel = Channel::new(url, ClientOptions::default(), None);
    let token = Redacted::new("for-the-app".to_owned());
    (GrpcApp::new(channel, &address, Some(&token), 1 << 20), stop.drop_guard())
}

fn event(data: &str) -> TopicEvent {
    TopicEvent {
        path: String::new(),
        pubsub: "bus".to_owned(),
        topic: "t".to_owned(),
        envelope: format!(r#"{{"id":"1","data":"{data}"}}"#).into(),
        metadata: [("key".to_owned(), "7".to_owned())].into(),
    }
}

#[tokio::test]
async fn an_answer_is_a_verdict_and_what_is_not_served_is_dropped() {
    let (kept, app, _stop) = start().await;
    let ctx = Ctx::system().with_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for (data, expect) in [
        ("0", Verdict::Done),
        ("1", Verdict::Again),
        ("2", Verdict::Drop),
        ("7", Verdict::Again),
        ("none", Verdict::Drop),
    ] {
        assert_eq!(app.deliver(&ctx, &event(data)).await.unwrap(), expect, "{data}");
    }
    let error = app.deliver(&ctx, &event("ill")).await.unwrap_err();
    assert_eq!((error.code(), error.answer()), (&codes::APP_FAILED, Some(13)), "policies see the code");
    assert_eq!(kept.0.lock().unwrap()[0], r#"t Some("for-the-app") true"#);
    assert!(
        app.subscriptions(&ctx).await.unwrap().is_empty(),
        "an app that does not say subscribes to nothing"
    );
    assert!(app.healthy(&ctx).await.is_err());
}

#[tokio::test]
async fn what_the_app_says_of_a_call_is_its_answer_its_failures_too() {
    let (_, app, stop) = start().await;
    let call = |method: &str| MethodCall {
        method: method.to_owned(),
        data: Bytes::from_static(b"x"),
        ..MethodCall::default()
    };
    let answer = app.call(&Ctx::system(), call("echo")).await.unwrap();
    assert_eq!((answer.status.code, &*answer.data, &*answer.content_type), (0, &b"x"[..], "text/plain"));
    assert!(answer.metadata.contains(&("x-app".to_owned(), "1".to_owned())));
    let answer = app.call(&Ctx::system(), call("fails")).await.unwrap();
    let wanted =
        CallStatus { code: 5, message: "no such order".to_owned(), details: Bytes::from_static(b"d") };
    assert_eq!(answer.status, wanted);
    drop(stop);
    let nobody = Channel::new("http://127.0.0.1:1".parse().unwrap(), ClientOptions::default(), None);
    let nobody = GrpcApp::new(nobody, "127.0.0.1:1", None, 1 << 20);
    let error = nobody.call(&Ctx::system(), call("echo")).await.unwrap_err();
    assert_eq!(error.code(), &codes::APP_UNAVAILABLE);
}

#[tokio::test]
async fn changed_configuration_is_a_call_of_a_method_a_key() {
    let (kept, app, _stop) = start().await;
    let item = Item { value: "1".to_owned(), version: "v2".to_owned(), ..Item::default() };
    let items = [("a".to_owned(), item.clone()), ("b".to_owned(), item.clone())].into();
    let change = ConfigurationChange { id: "7".to_owned(), store: "conf".to_owned(), items };
    app.configuration_changed(&Ctx::system(), &change).await.unwrap();
    let told = |key: &str| format!(r#"/configuration/conf/{key} Some("for-the-app") false"#);
    assert_eq!(*kept.0.lock().unwrap(), [told("a"), told("b")]);
    let change = ConfigurationChange { items: [("fails".to_owned(), item)].into(), ..change };
    let error = app.configuration_changed(&Ctx::system(), &change).await.unwrap_err();
    assert_eq!((error.code(), error.answer()), (&codes::APP_FAILED, Some(5)));
}
