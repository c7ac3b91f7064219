//! Resource files that change while a sidecar runs, against the real binary; and what its `/ready` says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::{Client, Launch, PATIENCE, Server};
use serde_json::json;

fn component(name: &str, kind: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {name} }}\nspec: {{ type: {kind}, version: v1, metadata: [] }}\n"
    )
}

const SUBSCRIPTION: &str = "
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: s }
spec: { pubsubname: bus, topic: paid, routes: { default: /paid } }
";

fn write(folder: &Path, name: &str, text: &str) {
    let resources = folder.join("resources");
    std::fs::create_dir_all(&resources).expect("a folder can be made");
    std::fs::write(resources.join(name), text).expect("a file can be written");
}

fn remove(folder: &Path, name: &str) {
    std::fs::remove_file(folder.join("resources").join(name)).expect("the file is there");
}

async fn start(folder: &Path, port: &str) -> Server {
    let words = ["sidecar", "--app-id", "shop", "--resources-path", "resources", "--app-port", port];
    let ports = ["--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let launch = ports.iter().fold(Launch::new(folder, &words), |launch, word| launch.word(word));
    let server = launch.start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

/// Saves until the answer is `status`.
async fn until_saving_is(client: &Client, store: &str, status: u16) {
    let asked = async {
        while client.post(&format!("/v1.0/state/{store}"), &json!([{"key": "k", "value": 1}])).await.status
            != status
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the store comes or goes in time");
}

#[tokio::test]
async fn components_and_subscriptions_come_and_go_with_their_files() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let app = Loopback::serve(Arc::new(move |request: Request| {
        let status = if request.uri().path() == "/paid" { 200 } else { 404 };
        count.fetch_add(usize::from(status == 200), Ordering::SeqCst);
        Box::pin(async move { whole(status, "text/plain", "") })
    }))
    .await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    write(folder.path(), "orders.yaml", &component("orders", "state.in-memory"));
    let server = start(folder.path(), &port).await;
    let client = server.client();
    until_saving_is(&client, "orders", 204).await;
    write(folder.path(), "carts.yaml", &component("carts", "state.embedded"));
    write(folder.path(), "bus.yaml", &component("bus", "pubsub.embedded"));
    write(folder.path(), "s.yaml", SUBSCRIPTION);
    until_saving_is(&client, "carts", 204).await;
    server.says("the app is subscribed").await;
    let publish = async |n: usize| {
        assert_eq!(client.post("/v1.0/publish/bus/paid", &json!({"n": n})).await.status, 204);
    };
    let until_heard = async |n: usize| {
        let all = async {
            while heard.load(Ordering::SeqCst) < n {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the messages come");
    };
    // What is published before the group is there goes by.
    let joined = async {
        while heard.load(Ordering::SeqCst) == 0 {
            publish(0).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, joined).await.expect("the subscription begins");
    // A file with a fault changes nothing, and says why.
    write(folder.path(), "carts.yaml", &component("carts", "state.embeded"));
    server.says("keeping the resources as they were").await;
    assert!(server.said().contains("state.embeded"), "{}", server.said());
    until_saving_is(&client, "carts", 204).await;
    remove(folder.path(), "carts.yaml");
    remove(folder.path(), "s.yaml");
    until_saving_is(&client, "carts", 400).await;
    server.says("the app is not subscribed any more").await;
    // What did not change was never closed: a store in memory still has its value.
    let kept = client.get("/v1.0/state/orders/k").await;
    assert_eq!((kept.status, kept.json()), (200, json!(1)));
    let before = heard.load(Ordering::SeqCst);
    publish(1).await;
    write(folder.path(), "s.yaml", SUBSCRIPTION);
    // It waited for its group.
    until_heard(before + 1).await;
}

#[tokio::test]
async fn ready_names_each_component_and_why_it_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let app =
        Loopback::serve(Arc::new(|_: Request| Box::pin(async { whole(200, "text/plain", "the app's own") })))
            .await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    write(folder.path(), "orders.yaml", &component("orders", "state.in-memory"));
    write(folder.path(), "bus.yaml", &component("bus", "pubsub.in-memory"));
    let server = start(folder.path(), &port).await;
    let read = server.client().get("/ready").await;
    let component = |name: &str, kind: &str| json!({"name": name, "type": kind, "status": "up"});
    let components = json!([component("orders", "state.in-memory"), component("bus", "pubsub.in-memory")]);
    assert_eq!((read.status, read.json()), (200, json!({"status": "ready", "components": components})));
    // An app has its own.
    let mut request = server.client().request(http::Method::GET, "/ready", bytes::Bytes::new());
    request.headers_mut().insert("dapr-app-id", "shop".parse().expect("it is a header value"));
    assert_eq!(server.client().send(request).await.body, "the app's own");
}

#[tokio::test]
async fn what_could_not_be_opened_is_named_and_is_there_once_it_can_be() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let vault = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec:
  type: secretstores.local.file
  version: v1
  ignoreErrors: true
  metadata: [{ name: secretsFile, value: late.json }]
";
    write(folder.path(), "vault.yaml", vault);
    let app = Loopback::serve(Arc::new(|_: Request| Box::pin(async { whole(404, "text/plain", "") }))).await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let server = start(folder.path(), &port).await;
    let read = server.client().get("/ready").await;
    let (status, named) = (read.status, read.json()["components"][0].clone());
    assert_eq!(
        (status, named["name"].as_str(), named["status"].as_str()),
        (503, Some("vault"), Some("down"))
    );
    std::fs::write(folder.path().join("late.json"), r#"{"key": "here"}"#).expect("a file can be written");
    let ready = async {
        while server.client().get("/ready").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the secret store is there in time");
    let secret = server.client().get("/v1.0/secrets/vault/key").await.json();
    assert_eq!(secret, json!({"key": "here"}));
}

#[tokio::test]
async fn what_changes_while_components_open_is_taken_too() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let resources = folder.path().to_owned();
    // Where the keys are, a file is written before they are given out.
    let keys = Loopback::serve(Arc::new(move |_: Request| {
        write(&resources, "carts.yaml", &component("carts", "state.in-memory"));
        Box::pin(async { whole(200, "application/json", r#"{"keys": []}"#) })
    }))
    .await;
    let vault = component("vault", "crypto.dapr.jwks");
    let setting = format!("metadata: [{{ name: jwks, value: '{}' }}]", keys.url());
    write(folder.path(), "vault.yaml", &vault.replace("metadata: []", &setting));
    let app = Loopback::serve(Arc::new(|_: Request| Box::pin(async { whole(404, "text/plain", "") }))).await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let server = start(folder.path(), &port).await;
    until_saving_is(&server.client(), "carts", 204).await;
}
