//! The outbox of a store against the real binary, which is killed in the middle of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::{Client, Launch, PATIENCE, Server};
use serde_json::{Value, json};

const STORE: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: orders }
spec:
  type: state.embedded
  version: v1
  metadata:
  - { name: outboxPublishPubsub, value: bus }
  - { name: outboxPublishTopic, value: paid }
";
const BROKER: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: bus }
spec: { type: pubsub.embedded, version: v1, metadata: [] }
";

/// What the app was told, in its order: the id and the number of each event.
type Heard = Arc<Mutex<Vec<(String, i64)>>>;

/// An app that subscribes to the topic.
async fn app() -> (Loopback, Heard) {
    let heard = Heard::default();
    let keep = Arc::clone(&heard);
    let app = Loopback::serve(Arc::new(move |request: Request| {
        let keep = Arc::clone(&keep);
        Box::pin(async move {
            match request.uri().path() {
                "/dapr/subscribe" => {
                    let topics = json!([{"pubsubname": "bus", "topic": "paid", "route": "/paid"}]);
                    whole(200, "application/json", topics.to_string())
                }
                "/paid" => {
                    let body = request.into_body().collect().await.expect("the event is whole").to_bytes();
                    let event: Value = serde_json::from_slice(&body).expect("an event is JSON");
                    let id = event["id"].as_str().unwrap_or_default().to_owned();
                    let number = event["data"]["n"].as_i64().expect("the data is ours");
                    keep.lock().expect("no test panics here").push((id, number));
                    whole(200, "application/json", "{}")
                }
                _ => whole(404, "text/plain", ""),
            }
        })
    }))
    .await;
    (app, heard)
}

async fn start(folder: &Path, app: &Loopback) -> Server {
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let words = ["sidecar", "--app-id", "shop", "--resources-path", "resources", "--app-port", &port];
    let ports = ["--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let launch = ports.iter().fold(Launch::new(folder, &words), |launch, word| launch.word(word));
    let server = launch.start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

fn write(folder: &Path, name: &str, text: &str) {
    let resources = folder.join("resources");
    std::fs::create_dir_all(&resources).expect("a folder can be made");
    std::fs::write(resources.join(name), text).expect("a file can be written");
}

/// One transaction. Whether it was made.
async fn pay(client: &Client, n: i64, etag: Option<&str>) -> bool {
    let request = json!({"key": format!("order-{n}"), "value": {"n": n}, "etag": etag});
    let body = json!({"operations": [{"operation": "upsert", "request": request}]});
    client.post("/v1.0/state/orders/transaction", &body).await.status == 204
}

async fn until_heard(heard: &Heard, wanted: &BTreeSet<i64>) {
    let all = async {
        loop {
            let numbers: BTreeSet<i64> =
                heard.lock().expect("no test panics here").iter().map(|(_, n)| *n).collect();
            if wanted.is_subset(&numbers) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("every event comes");
}

#[tokio::test]
async fn events_of_transactions_survive_kills_and_come_with_their_state_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (app, heard) = app().await;
    // There is no broker yet: everything is killed between its save and its publication.
    write(folder.path(), "orders.yaml", STORE);
    let server = start(folder.path(), &app).await;
    let mut made = BTreeSet::new();
    for n in 0..20 {
        assert!(pay(&server.client(), n, None).await);
        made.insert(n);
    }
    assert!(!pay(&server.client(), -1, Some("1")).await, "an etag of nothing fits nothing");
    server.kill().await;
    assert!(heard.lock().expect("no test panics here").is_empty());
    write(folder.path(), "bus.yaml", BROKER);
    for round in 1..=4 {
        let server = start(folder.path(), &app).await;
        let client = server.client();
        for n in round * 100..round * 100 + 30 {
            assert!(pay(&client, n, None).await);
            made.insert(n);
        }
        // Nobody can know whether this one is made: both are right, if event and state agree.
        let last = client.clone();
        let asked = tokio::spawn(async move { pay(&last, round * 100 + 99, None).await });
        server.kill().await;
        let _ = asked.await;
    }
    let server = start(folder.path(), &app).await;
    until_heard(&heard, &made).await;
    let heard = heard.lock().expect("no test panics here").clone();
    for (_, n) in &heard {
        let read = server.client().get(&format!("/v1.0/state/orders/order-{n}")).await;
        assert_eq!(read.status, 200, "the event {n} has no state");
    }
    let mut ids: Vec<_> = heard.clone();
    ids.sort_unstable_by_key(|(_, n)| *n);
    ids.dedup();
    let numbers: BTreeSet<i64> = heard.iter().map(|(_, n)| *n).collect();
    assert_eq!(ids.len(), numbers.len(), "an event that comes again has the same id");
}
