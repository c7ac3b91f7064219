//! What holds for every call: the token, the size, the time, and calls that nobody serves.

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use mainstay_proto::common::v1::StateItem;
use mainstay_proto::rpc;
use mainstay_proto::runtime::v1::dapr_client::DaprClient;
use mainstay_proto::runtime::v1::*;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::ServiceExt as _;

use crate::house::{House, MESSAGE_BYTES_MAX, With, check, details};

/// Calls a method by its path; what it says does not matter.
async fn call(channel: Channel, path: &'static str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = ProstCodec::<(), ()>::default();
    client.unary(tonic::Request::new(()), path, codec).await.map(|_| ())
}

fn get(store: &str, key: &str) -> GetStateRequest {
    GetStateRequest { store_name: store.to_owned(), key: key.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let house = House::with(With { token: Some("letmein"), reflection: true, ..With::default() }).await;
    let channel = house.channel().await;
    let show = |token: Option<&'static str>| {
        let mut request = tonic::Request::new(GetMetadataRequest {});
        if let Some(token) = token {
            request.metadata_mut().insert("dapr-api-token", token.parse().unwrap());
        }
        let mut client = DaprClient::new(channel.clone());
        async move { client.get_metadata(request).await }
    };
    show(Some("letmein")).await.unwrap();
    for (token, why) in [
        (None, "missing api token in request metadata"),
        (Some("letmeinn"), "authentication error: api token mismatch"),
        (Some(""), "authentication error: api token mismatch"),
    ] {
        let denied = show(token).await.unwrap_err();
        assert_eq!((denied.code(), denied.message()), (Code::Unauthenticated, "Unauthorized"));
        let info = rpc::ErrorInfo::decode(&*details(&denied)[0].1).unwrap();
        assert_eq!(info.metadata["http.error_message"], why);
    }
    // Not for the sake of what is not there either.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in ["/other.Service/Method", reflection] {
        assert_eq!(call(channel.clone(), path).await.unwrap_err().code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a_message_is_bounded_both_ways() {
    let house = House::new().await;
    let mut client = house.client().await;
    let publish = |size: usize| PublishEventRequest {
        pubsub_name: "bus".to_owned(),
        topic: "orders".to_owned(),
        data: vec![b'x'; size].into(),
        ..Default::default()
    };
    client.publish_event(publish(MESSAGE_BYTES_MAX - 100)).await.unwrap();
    let large = client.publish_event(publish(MESSAGE_BYTES_MAX)).await.unwrap_err();
    assert_eq!(large.code(), Code::ResourceExhausted);
    assert_eq!(house.published.lock().unwrap().len(), 1);

    let item =
        StateItem { key: "a".to_owned(), value: vec![0; MESSAGE_BYTES_MAX / 2].into(), ..Default::default() };
    let store_name = "orders".to_owned();
    client.save_state(SaveStateRequest { store_name: store_name.clone(), states: vec![item] }).await.unwrap();
    let keys = vec!["a".to_owned(); 3];
    let all = GetBulkStateRequest { store_name, keys, ..Default::default() };
    assert_eq!(client.get_bulk_state(all).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_call_ends_with_its_callers_patience() {
    let house = House::new().await;
    // Past the client, which has a clock of its own.
    let request = Request::post("/dapr.proto.runtime.v1.Dapr/GetState")
        .version(http::Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", "20m");
    let request = request.body(framed(&get("broken", "slow"))).unwrap();
    let answer = house.surface.router().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}

fn uri(house: &House, path: &str) -> Uri {
    format!("http://{}{path}", house.address).parse().unwrap()
}

/// A message as gRPC frames it.
fn framed(message: &impl prost::Message) -> tonic::body::Body {
    let bytes = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend(bytes);
    tonic::body::Body::new(Full::new(Bytes::from(frame)))
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented_and_what_is_not_ours_needs_an_app() {
    let house = House::new().await;
    for (path, expect) in [
        ("/dapr.proto.runtime.v1.Dapr/InvokeActor", Code::Unimplemented),
        ("/dapr.proto.runtime.v1.Dapr/ScheduleJob", Code::Unimplemented),
        ("/dapr.proto.runtime.v1.Dapr/NeverHeardOf", Code::Unimplemented),
        ("/other.Service/Method", Code::Unknown),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Code::Unknown),
    ] {
        let refused = call(house.channel().await, path).await.unwrap_err();
        assert_eq!(refused.code(), expect, "{path}");
    }
    let mut client = house.client().await;
    check(client.subtle_sign_alpha1(SubtleSignRequest::default()).await, Code::Unimplemented, "");
}

#[tokio::test]
async fn reflection_answers_where_it_is_switched_on() {
    let house = House::with(With { reflection: true, ..With::default() }).await;
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        // An empty request asks for nothing that is known, which is another failure.
        let refused = call(house.channel().await, path).await;
        assert!(!refused.is_err_and(|status| status.code() == Code::Unimplemented), "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_a_status_and_the_connection_lives_on() {
    let house = House::new().await;
    let mut client = house.client().await;
    let failed = client.get_state(get("broken", "panic")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert!(!failed.message().contains("panic"));
    client.get_metadata(GetMetadataRequest {}).await.unwrap();
}

#[tokio::test]
async fn what_is_no_grpc_is_refused_in_http() {
    let house = House::new().await;
    let request = Request::get(uri(&house, "/v1.0/healthz")).body(tonic::body::Body::empty()).unwrap();
    let answer = house.channel().await.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
}
