//! The checks, block by block.

use std::collections::HashMap;
use std::time::Duration;

use dapr::appcallback::{AppCallbackService, Handler, HandlerMethod, TopicEventRequest, TopicEventResponse};
use dapr::client::{
    ApiTokenInterceptor, AppApiTokenLayer, ClientOptions, DecryptRequestOptions, EncryptRequestOptions, Etag,
    ReaderStream, StateItem, StateOptions,
};
use dapr::dapr::proto::runtime::v1 as wire;
use dapr::dapr::proto::runtime::v1::app_callback_server::AppCallbackServer;
use dapr::dapr::proto::runtime::v1::dapr_client::DaprClient;
use prost_types::Any;
use tokio::sync::mpsc;
use tonic::transport::Endpoint;
use tonic::{Code, Response, Status};
use wire::topic_event_response::TopicEventResponseStatus::{Retry, Success};

use crate::callee::APP_ID as CALLEE;
use crate::{LOOK_INTERVAL, Outcome, PATIENCE, Sdk};

const TOPIC: &str = "rust-events";

/// Hands over what it is given; the first time each message is to come again.
struct Taken(mpsc::Sender<TopicEventRequest>, std::sync::Mutex<Vec<String>>);

#[tonic::async_trait]
impl HandlerMethod for Taken {
    async fn handler(&self, event: TopicEventRequest) -> Result<Response<TopicEventResponse>, Status> {
        let is_known = {
            let mut known = self.1.lock().map_err(|_| Status::internal("poisoned"))?;
            let is_known = known.contains(&event.id);
            known.push(event.id.clone());
            is_known
        };
        self.0.send(event).await.map_err(|_| Status::unavailable("nobody takes it"))?;
        let status = if is_known { Success } else { Retry };
        Ok(Response::new(TopicEventResponse { status: status.into() }))
    }
}

/// Every check. The app's service is the SDK's own, which falls over where it is asked for bindings or called.
pub(crate) async fn check() -> Outcome {
    let (send, mut events) = mpsc::channel(64);
    let mut app = AppCallbackService::new();
    let handler = Box::new(Taken(send, std::sync::Mutex::default()));
    app.add_handler(Handler { pub_sub_name: "bus".to_owned(), topic: TOPIC.to_owned(), handler });
    let guard = AppApiTokenLayer::from_env();
    assert!(guard.is_enforcing(), "APP_API_TOKEN is there");
    let server = tonic::transport::Server::builder().layer(guard).add_service(AppCallbackServer::new(app));
    tokio::spawn(server.serve(crate::app_address()?));
    let client = &mut crate::connected().await?;
    strangers().await?;
    state(client).await?;
    messages(client, &mut events).await?;
    secrets(client).await?;
    configuration(client).await?;
    bindings(client).await?;
    calls(client).await?;
    lock().await?;
    cryptography(client).await?;
    metadata(client).await?;
    println!("every check holds");
    Ok(())
}

/// Who does not show the token that DAPR_API_TOKEN names is not served.
async fn strangers() -> Outcome {
    let client = &mut Sdk::from_options(ClientOptions::from_env()?.without_api_token()).await?;
    assert!(is(client.get_state("store", "a", None).await, Code::Unauthenticated));
    Ok(())
}

async fn state(client: &mut Sdk) -> Outcome {
    client.save_state("store", "a", b"one".to_vec(), None, None, None).await?;
    let read = client.get_state("store", "a", None).await?;
    assert_eq!((read.data.as_slice(), read.etag.is_empty()), (&b"one"[..], false));
    let first_write = Some(StateOptions { concurrency: 1, consistency: 2 });
    let stale = Some(Etag { value: "7777777".to_owned() });
    let refused = client.save_state("store", "a", b"x".to_vec(), stale, None, first_write).await;
    assert!(is(refused, Code::Aborted), "a version that is not there is refused");
    let known = Some(Etag { value: read.etag });
    client.save_state("store", "a", b"two".to_vec(), known, None, first_write).await?;
    assert_eq!(client.get_state("store", "a", None).await?.data, b"two");
    let item = |key: &str| StateItem { key: key.to_owned(), value: key.into(), ..StateItem::default() };
    client.save_bulk_states("store", vec![item("b"), item("c")]).await?;
    client.delete_bulk_state("store", vec![("b", Vec::new())]).await?;
    client.delete_state("store", "a", None).await?;
    for (key, value) in [("a", &b""[..]), ("b", b""), ("c", b"c")] {
        assert_eq!(client.get_state("store", key, None).await?.data, value, "{key}");
    }
    let brief = HashMap::from([("ttlInSeconds".to_owned(), "100".to_owned())]);
    client.save_state("store", "d", b"d".to_vec(), None, Some(brief), None).await?;
    assert!(client.get_state("store", "d", None).await?.metadata.contains_key("ttlExpireTime"));
    let unknown = client.get_state("nowhere", "a", None).await;
    assert!(is(unknown, Code::InvalidArgument));
    Ok(())
}

/// Whether an error of the SDK stands for this status, which it shows in its text alone.
fn is<T>(outcome: Result<T, dapr::error::Error>, code: Code) -> bool {
    let Err(error) = outcome else { return false };
    format!("{error:?}").contains(&format!("code: {code:?},"))
}

async fn messages(client: &mut Sdk, events: &mut mpsc::Receiver<TopicEventRequest>) -> Outcome {
    let publish = async |client: &mut Sdk| {
        client.publish_event("bus", TOPIC, "application/json", br#"{"n":1}"#.to_vec(), None).await
    };
    // Until the group is there nothing is kept for it.
    let event = tokio::time::timeout(PATIENCE, async {
        loop {
            publish(client).await?;
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(500), events.recv()).await {
                return Ok::<_, dapr::error::Error>(event);
            }
        }
    });
    let event = event.await??.ok_or("the app ended")?;
    assert_eq!((event.topic.as_str(), event.pubsub_name.as_str()), (TOPIC, "bus"));
    assert_eq!(
        (event.data.as_slice(), event.data_content_type.as_str()),
        (&br#"{"n":1}"#[..], "application/json")
    );
    assert_eq!((event.source.as_str(), event.spec_version.as_str()), ("rust", "1.0"));
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            let other = events.recv().await?;
            if other.id == event.id {
                return Some(other);
            }
        }
    });
    assert_eq!(again.await?.ok_or("the app ended")?.data, event.data, "what is to come again comes again");
    let refused = client.publish_event("nowhere", TOPIC, "text/plain", b"x".to_vec(), None).await;
    assert!(is(refused, Code::InvalidArgument));
    Ok(())
}

async fn secrets(client: &mut Sdk) -> Outcome {
    let secret = client.get_secret("vault", "RUST_SECRET").await?;
    assert_eq!(secret.data.get("RUST_SECRET").map(String::as_str), Some("hush"));
    let all = client.get_bulk_secret("vault", None).await?;
    assert_eq!(all.data["RUST_SECRET"].secrets["RUST_SECRET"], "hush");
    assert!(is(client.get_secret("nowhere", "RUST_SECRET").await, Code::InvalidArgument));
    Ok(())
}

async fn configuration(client: &mut Sdk) -> Outcome {
    let found = client.get_configuration("settings", vec!["colour"], None).await?;
    assert_eq!(found.items.get("colour").map(|item| item.value.as_str()), Some("blue"));
    let mut changes = client.subscribe_configuration("settings", vec!["colour"], None).await?;
    let first = tokio::time::timeout(PATIENCE, changes.message()).await??.ok_or("the stream ended")?;
    assert!(!first.id.is_empty() && first.items.is_empty(), "the first message has the id");
    std::fs::write("settings.new", "colour: red\n")?;
    std::fs::rename("settings.new", "settings.yaml")?;
    let change = tokio::time::timeout(PATIENCE, changes.message()).await??.ok_or("the stream ended")?;
    assert_eq!((change.id.as_str(), change.items["colour"].value.as_str()), (first.id.as_str(), "red"));
    let ended = client.unsubscribe_configuration("settings", first.id.as_str()).await?;
    assert!(ended.ok, "{}", ended.message);
    Ok(())
}

async fn bindings(client: &mut Sdk) -> Outcome {
    let name = HashMap::from([("fileName".to_owned(), "note.txt".to_owned())]);
    client.invoke_binding("files", b"remember me".to_vec(), "create", Some(name.clone())).await?;
    let read = client.invoke_binding("files", Vec::new(), "get", Some(name.clone())).await?;
    assert_eq!(read.data, b"remember me");
    client.invoke_binding("files", Vec::new(), "delete", Some(name.clone())).await?;
    let gone = client.invoke_binding("files", Vec::new(), "get", Some(name)).await;
    assert!(is(gone, Code::Internal));
    Ok(())
}

/// The other app, which is found by itself, and what came to it from its binding.
async fn calls(client: &mut Sdk) -> Outcome {
    let data = || Some(Any { type_url: String::new(), value: b"hello".to_vec() });
    let answered = tokio::time::timeout(PATIENCE, async {
        loop {
            match client.invoke_service(CALLEE, "echo", data()).await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    });
    let answer = answered.await?;
    assert_eq!(
        (answer.data.unwrap_or_default().value, answer.content_type.as_str()),
        (b"hello".to_vec(), "text/plain")
    );
    let caller = client.invoke_service(CALLEE, "who", None).await?;
    assert_eq!(caller.data.unwrap_or_default().value, b"rust");
    assert!(is(client.invoke_service(CALLEE, "missing", None).await, Code::NotFound));
    let ticked = tokio::time::timeout(PATIENCE, async {
        loop {
            let kept = client.invoke_service(CALLEE, "ticked", None).await?.data.unwrap_or_default().value;
            if !kept.is_empty() {
                return Ok::<_, dapr::error::Error>(kept);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    });
    assert_eq!(ticked.await??, b"tick", "the answer to the binding's event was saved");
    Ok(())
}

/// The SDK has no function for it: its generated client does.
async fn lock() -> Outcome {
    let options = ClientOptions::from_env()?;
    let channel = Endpoint::from_shared(options.address().to_owned())?.connect().await?;
    let token = ApiTokenInterceptor::new(options.api_token().map(str::to_owned));
    let mut client = DaprClient::with_interceptor(channel, token);
    let take = |owner: &str| wire::TryLockRequest {
        store_name: "locks".to_owned(),
        resource_id: "door".to_owned(),
        lock_owner: owner.to_owned(),
        expiry_in_seconds: 60,
    };
    assert!(client.try_lock_alpha1(take("one")).await?.into_inner().success);
    assert!(!client.try_lock_alpha1(take("two")).await?.into_inner().success);
    let give_back = |owner: &str| wire::UnlockRequest {
        store_name: "locks".to_owned(),
        resource_id: "door".to_owned(),
        lock_owner: owner.to_owned(),
    };
    // LOCK_BELONGS_TO_OTHERS, SUCCESS and LOCK_DOES_NOT_EXIST.
    for (owner, expect) in [("two", 2), ("one", 0), ("one", 1)] {
        assert_eq!(client.unlock_alpha1(give_back(owner)).await?.into_inner().status, expect, "{owner}");
    }
    Ok(())
}

async fn cryptography(client: &mut Sdk) -> Outcome {
    let how = EncryptRequestOptions {
        component_name: "keys".to_owned(),
        key_name: "bytes".to_owned(),
        key_wrap_algorithm: "A256KW".to_owned(),
        ..EncryptRequestOptions::default()
    };
    let made = client.encrypt(ReaderStream::new(&b"hello"[..]), how).await?;
    assert!(made[0].data.starts_with(b"dapr.io/enc/v1\n"));
    let how = DecryptRequestOptions { component_name: "keys".to_owned(), key_name: String::new() };
    assert_eq!(client.decrypt(made, how).await?, b"hello");
    Ok(())
}

async fn metadata(client: &mut Sdk) -> Outcome {
    client.set_metadata("colour", "green").await?;
    let about = client.get_metadata().await?;
    assert_eq!(
        (about.id.as_str(), about.extended_metadata.get("colour").map(String::as_str)),
        ("rust", Some("green"))
    );
    assert!(about.registered_components.iter().any(|one| one.name == "store"));
    assert!(
        about.registered_components.iter().all(|one| one.name != "tick"),
        "what is of another app is not here"
    );
    Ok(())
}
