//! Calls of apps: by message, and of services that are theirs.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Request;
use mainstay_blocks::access::Access;
use mainstay_core::Redacted;
use mainstay_core::methods::CallStatus;
use mainstay_core::runtime_config::{AccessControl, AccessPolicy, Action, Operation};
use mainstay_grpc::{Rules, Ways};
use mainstay_net::client::ClientOptions;
use mainstay_net::multiplexed;
use mainstay_net::server::serve;
use mainstay_net::sockets::Sockets;
use mainstay_proto::common::v1::{HttpExtension, InvokeRequest, http_extension};
use mainstay_proto::components::v1::pub_sub_client::PubSubClient;
use mainstay_proto::components::v1::pub_sub_server::{PubSub, PubSubServer};
use mainstay_proto::components::v1::{
    PublishRequest, PublishResponse, PullMessagesRequest, PullMessagesResponse,
};
use mainstay_proto::runtime::v1::{GetStateRequest, InvokeServiceRequest};
use prost_types::Any;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status, Streaming};

use crate::house::{House, With, check, patient};

/// What stands behind calls by message: answers with what it was asked, in the way that the method's name says.
pub(crate) async fn answer(request: Request<Bytes>) -> http::Response<Bytes> {
    let seen = format!(
        "{} {} {:?} {:?}",
        request.method(),
        request.uri(),
        request.headers().get("x-mine"),
        request.headers().get("content-type")
    );
    let mut answer = http::Response::new(Bytes::from(seen));
    answer.headers_mut().insert("x-app", "1".parse().unwrap());
    answer.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let path = request.uri().path();
    if path.ends_with("/teapot") {
        *answer.status_mut() = http::StatusCode::NOT_FOUND;
    } else if path.ends_with("/code") {
        let details = Bytes::from_static(b"details");
        answer.extensions_mut().insert(CallStatus { code: 9, message: "not now".to_owned(), details });
    }
    answer
}

fn asked(method: &str) -> tonic::Request<InvokeServiceRequest> {
    let message = InvokeRequest {
        method: method.to_owned(),
        data: Some(Any { type_url: String::new(), value: b"x".to_vec() }),
        content_type: "text/x-test".to_owned(),
        http_extension: Some(HttpExtension {
            verb: http_extension::Verb::Put.into(),
            querystring: "a=b c".to_owned(),
        }),
    };
    let mut request =
        tonic::Request::new(InvokeServiceRequest { id: "http://x".to_owned(), message: Some(message) });
    request.metadata_mut().insert("x-mine", "7".parse().unwrap());
    request
}

fn shown<'a>(metadata: &'a MetadataMap, name: &str) -> &'a str {
    metadata.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_call_by_message_is_a_request_and_its_answer_a_message() {
    let house = House::new().await;
    let mut client = house.client().await;
    let answer = client.invoke_service(asked("a/b c")).await.unwrap();
    assert_eq!(
        (shown(answer.metadata(), "dapr-http-status"), shown(answer.metadata(), "x-app")),
        ("200", "1")
    );
    let answer = answer.into_inner();
    let text = String::from_utf8(answer.data.unwrap().value).unwrap();
    let wanted = r#"PUT /v1.0/invoke/http%3A%2F%2Fx/method/a/b%20c?a=b%20c Some("7") Some("text/x-test")"#;
    assert_eq!((text.as_str(), answer.content_type.as_str()), (wanted, "text/plain"));
}

#[tokio::test]
async fn a_call_fails_as_the_app_fails() {
    let house = House::new().await;
    let mut client = house.client().await;
    let status = client.invoke_service(asked("teapot")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "Not Found"));
    assert_eq!(shown(status.metadata(), "dapr-http-status"), "404");
    let status = client.invoke_service(asked("code")).await.unwrap_err();
    let told = (status.code(), status.message(), status.details());
    assert_eq!(told, (Code::FailedPrecondition, "not now", &b"details"[..]));
}

#[tokio::test]
async fn an_api_that_is_denied_is_not_there() {
    let house = House::with(With { denied: &["state", "invoke"], ..With::default() }).await;
    let mut client = house.client().await;
    let refused = client.get_state(GetStateRequest::default()).await;
    check(refused, Code::Unimplemented, "Not Implemented");
    assert_eq!(client.invoke_service(asked("a")).await.unwrap_err().code(), Code::Unimplemented);
    client.get_metadata(mainstay_proto::runtime::v1::GetMetadataRequest {}).await.unwrap();
}

/// An app with a service of its own, which keeps the metadata it sees.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Vec<MetadataMap>>>);

#[tonic::async_trait]
impl PubSub for Bank {
    async fn publish(
        &self,
        request: tonic::Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        self.0.lock().unwrap().push(request.metadata().clone());
        Err(Status::with_details(Code::OutOfRange, "the bank is closed", Bytes::from_static(b"until 9")))
    }

    async fn pull_messages(
        &self,
        request: tonic::Request<Streaming<PullMessagesRequest>>,
    ) -> Result<Response<BoxStream<PullMessagesResponse>>, Status> {
        let answers = request
            .into_inner()
            .map(|asked| Ok(PullMessagesResponse { id: asked?.ack_message_id, ..Default::default() }));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The bank's runtime, listening in a folder; it lets `shop` alone in, and not to everything.
async fn open_bank(bank: Bank, sockets: &Sockets) -> (House, DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, PubSubServer::new(bank), patient(), stop.clone()));
    let operation = |path: &str, action| Operation { path: path.to_owned(), methods: Vec::new(), action };
    let policy = AccessPolicy {
        app: "shop".to_owned(),
        default: None,
        trust_domain: "public".to_owned(),
        namespace: "default".to_owned(),
        operations: vec![
            operation("/dapr.proto.components.v1.PubSub/*", Action::Allow),
            operation("/*/Secret", Action::Deny),
        ],
    };
    let control = AccessControl { default: Action::Deny, policies: vec![policy], ..AccessControl::default() };
    let ways = Ways {
        app: Some(multiplexed::Channel::new(url, ClientOptions::default(), None)),
        app_token: Some(Redacted::new("for-the-bank".to_owned())),
        ..Ways::default()
    };
    let rules = Rules { access: Access::new(Some(control)), ..Rules::default() };
    let house = House::under(With::default(), ways, rules).await;
    let socket = sockets.listen("default.bank").unwrap();
    tokio::spawn(serve(socket, house.surface.inbound(), patient(), stop.clone()));
    (house, stop.drop_guard())
}

fn to<T>(app: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("dapr-app-id", app.parse().unwrap());
    request.metadata_mut().insert("dapr-caller-app-id", "liar".parse().unwrap());
    request.metadata_mut().insert("mainstay-caller-trust-domain", "lies".parse().unwrap());
    request
}

#[tokio::test]
async fn a_service_of_another_app_is_called_as_if_it_were_here() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    let bank = Bank::default();
    let (_bank, _stop) = open_bank(bank.clone(), &sockets).await;
    let shop = House::on(With::default(), Ways { neighbours: Some(sockets), ..Ways::default() }).await;
    let mut client = PubSubClient::new(shop.channel().await);
    let failed = client.publish(to("bank", PublishRequest::default())).await.unwrap_err();
    let told = (failed.code(), failed.message(), failed.details());
    assert_eq!(told, (Code::OutOfRange, "the bank is closed", &b"until 9"[..]));
    let seen = bank.0.lock().unwrap().remove(0);
    let text = |name: &str| seen.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(text("dapr-caller-app-id").as_deref(), Some("shop"));
    assert_eq!(text("dapr-caller-namespace").as_deref(), Some("default"));
    assert_eq!(text("dapr-api-token").as_deref(), Some("for-the-bank"));
    assert_eq!((text("dapr-app-id"), text("mainstay-caller-trust-domain")), (None, None));
    // Both directions at once: the answer to each comes before the next is sent.
    let (questions, asked) = tokio::sync::mpsc::channel(1);
    let asked = stream::unfold(asked, |mut asked| async move { Some((asked.recv().await?, asked)) });
    let mut answers = client.pull_messages(to("bank", asked)).await.unwrap().into_inner();
    for id in ["a", "b", "c"] {
        let question = PullMessagesRequest { ack_message_id: id.to_owned(), ..Default::default() };
        questions.send(question).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().id, id);
    }
    drop(questions);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn who_is_not_there_or_not_let_in_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    let (_bank, _stop) = open_bank(Bank::default(), &sockets).await;
    let shop = House::on(With::default(), Ways { neighbours: Some(sockets), ..Ways::default() }).await;
    let channel = shop.channel().await;
    let call = async |path: &'static str, app: Option<&str>| {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let request = app.map_or_else(|| tonic::Request::new(()), |app| to(app, ()));
        let status = client.unary(request, path, codec).await.unwrap_err();
        (status.code(), status.message().to_owned())
    };
    let (code, message) = call("/bank.Vault/Open", None).await;
    assert_eq!(
        (code, message.contains("dapr-callee-app-id or dapr-app-id not found")),
        (Code::Unknown, true)
    );
    let (code, message) = call("/bank.Vault/Open", Some("nobody")).await;
    assert_eq!((code, message.as_str()), (Code::Unknown, "couldn't find service: nobody"));
    assert_eq!(call("/bank.Vault/Open", Some("shop")).await.0, Code::FailedPrecondition);
    let (code, message) = call("/bank.Vault/Open", Some("bank")).await;
    assert_eq!((code, message.contains("access control policy has denied")), (Code::PermissionDenied, true));
}
