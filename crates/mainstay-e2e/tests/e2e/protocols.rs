//! What an app may speak (`--app-protocol`): each protocol with an app that speaks nothing else. It is called, it is
//! told of messages, and the metadata says how it is reached.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::service::TowerToHyperService;
use mainstay_e2e::app::{App, Authority, Wire};
use mainstay_e2e::sidecar::{STORE_AND_BROKER, start};
use mainstay_proto::common::v1::{InvokeRequest, InvokeResponse};
use mainstay_proto::runtime::v1 as wire;
use mainstay_testkit::loopback::{self, Request, whole};
use mainstay_testkit::process::Server;
use mainstay_testkit::process::until;
use serde_json::{Value, json};
use tonic::{Response, Status};

/// What an app was sent by itself.
type Seen = Arc<Mutex<Vec<Value>>>;

/// An app that says in which version of HTTP, and with which body, it was called; messages are kept.
fn echo(seen: &Seen) -> loopback::Service {
    let seen = Arc::clone(seen);
    Arc::new(move |request: Request| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let (version, path) = (request.version(), request.uri().path().to_owned());
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            let body = body.unwrap_or_default();
            match path.as_str() {
                "/echo" => {
                    let text = String::from_utf8_lossy(&body);
                    whole(200, "text/plain", format!("{version:?} {text}"))
                }
                "/paid" => {
                    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(event["data"].clone());
                    whole(200, "application/json", "{}")
                }
                _ => whole(404, "text/plain", ""),
            }
        })
    })
}

/// Calls the app, has it told of a message, and looks at what is said of it.
async fn check(server: &Server, seen: &Seen, protocol: &str, says: &str) {
    let client = server.client();
    let body = Bytes::from_static(b"hello");
    let called = client.request(http::Method::POST, "/v1.0/invoke/shop/method/echo", body);
    let called = client.send(called).await;
    assert_eq!((called.status, String::from_utf8_lossy(&called.body).as_ref()), (200, says), "{protocol}");
    assert_eq!(client.post("/v1.0/publish/bus/paid", &json!({"n": 7})).await.status, 204);
    let heard = || seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    until("the message comes", async || heard() == [json!({"n": 7})]).await;
    let known = client.get("/v1.0/metadata").await.json();
    assert_eq!(known["appConnectionProperties"]["protocol"], json!(protocol), "{known}");
}

async fn check_http(wire: Wire, protocol: &str, says: &str) {
    let (seen, folder) = (Seen::default(), tempfile::tempdir().expect("a temporary folder can be made"));
    let app = App::answering(wire, echo(&seen)).await;
    let port = app.port().to_string();
    let words = ["--app-port", &port, "--app-protocol", protocol];
    let server = start(folder.path(), STORE_AND_BROKER, &words).await;
    check(&server, &seen, protocol, says).await;
}

#[tokio::test]
async fn an_app_behind_tls_is_taken_at_its_address_whoever_vouches_for_it() {
    let identity = Authority::new().identity("elsewhere.example");
    check_http(Wire::tls(&identity), "https", "HTTP/1.1 hello").await;
}

#[tokio::test]
async fn an_app_that_speaks_http_2_alone_is_spoken_to_so() {
    check_http(Wire::h2c(), "h2c", "HTTP/2.0 hello").await;
}

#[tokio::test]
async fn the_older_flag_for_tls_means_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (seen, identity) = (Seen::default(), Authority::new().identity("localhost"));
    let app = App::answering(Wire::tls(&identity), echo(&seen)).await;
    let port = app.port().to_string();
    let server = start(folder.path(), STORE_AND_BROKER, &["--app-port", &port, "--app-ssl"]).await;
    check(&server, &seen, "https", "HTTP/1.1 hello").await;
}

/// The same app as a service of gRPC.
struct Grpc(Seen);

#[async_trait::async_trait]
impl wire::app_callback_server::AppCallback for Grpc {
    async fn on_invoke(
        &self,
        request: tonic::Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let InvokeRequest { method, data, .. } = request.into_inner();
        let text = data.map(|data| String::from_utf8_lossy(&data.value).into_owned()).unwrap_or_default();
        let data = prost_types::Any { type_url: String::new(), value: format!("{method} {text}").into() };
        Ok(Response::new(InvokeResponse { data: Some(data), content_type: "text/plain".to_owned() }))
    }

    async fn list_topic_subscriptions(
        &self,
        _: tonic::Request<()>,
    ) -> Result<Response<wire::ListTopicSubscriptionsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn on_topic_event(
        &self,
        request: tonic::Request<wire::TopicEventRequest>,
    ) -> Result<Response<wire::TopicEventResponse>, Status> {
        let data = serde_json::from_slice(&request.into_inner().data).unwrap_or_default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        Ok(Response::new(Default::default()))
    }

    async fn list_input_bindings(
        &self,
        _: tonic::Request<()>,
    ) -> Result<Response<wire::ListInputBindingsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn on_binding_event(
        &self,
        _: tonic::Request<wire::BindingEventRequest>,
    ) -> Result<Response<wire::BindingEventResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tokio::test]
async fn an_app_that_speaks_grpc_behind_tls_is_called_and_told() {
    let (seen, folder) = (Seen::default(), tempfile::tempdir().expect("a temporary folder can be made"));
    let identity = Authority::new().identity("localhost");
    let service = wire::app_callback_server::AppCallbackServer::new(Grpc(Arc::clone(&seen)));
    let app = App::serve(Wire::h2_tls(&identity), TowerToHyperService::new(service)).await;
    let port = app.port().to_string();
    let words = ["--app-port", &port, "--app-protocol", "grpcs"];
    let server = start(folder.path(), STORE_AND_BROKER, &words).await;
    check(&server, &seen, "grpcs", "echo hello").await;
}

#[tokio::test]
async fn an_app_that_speaks_something_else_is_waited_for_and_its_calls_fail() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let seen = Seen::default();
    let app = App::answering(Wire::plain(), echo(&seen)).await;
    let port = app.port().to_string();
    let words = ["--app-port", &port, "--app-protocol", "https"];
    let server = mainstay_e2e::sidecar::launch(folder.path(), STORE_AND_BROKER, &words).start().await;
    let called = server.client().get("/v1.0/invoke/shop/method/echo").await;
    assert_eq!(called.json()["errorCode"], json!("ERR_DIRECT_INVOKE"));
}
