//! Bindings and subscriptions in bulk, with an app on loopback: what comes in, what goes out, what follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use mainstay_testkit::loopback::{Loopback, whole};
use mainstay_testkit::process::{Launch, Server};
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn component(name: &str, kind: &str, settings: &[(&str, &str)]) -> String {
    let settings: Vec<Value> =
        settings.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let component = json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": name},
        "spec": {"type": kind, "version": "v1", "metadata": settings},
    });
    component.to_string()
}

/// Something the app was asked: method, path, body.
type Asked = (String, String, String);

/// An app that answers so, and what it is asked.
async fn app(
    answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
) -> (Loopback, mpsc::Receiver<Asked>) {
    let (tell, asked) = mpsc::channel(256);
    let answer = Arc::new(answer);
    let app = Loopback::serve(Arc::new(move |request| {
        let (tell, answer) = (tell.clone(), Arc::clone(&answer));
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("the body comes whole").to_bytes();
            let asked = (
                head.method.to_string(),
                head.uri.path().to_owned(),
                String::from_utf8_lossy(&body).into_owned(),
            );
            let (status, text) = answer(&asked);
            // A test that has seen enough has gone.
            let _ = tell.send(asked).await;
            whole(status, "application/json", text)
        })
    }))
    .await;
    (app, asked)
}

async fn start(folder: &tempfile::TempDir, components: &[String], app: Option<&Loopback>) -> Server {
    let resources = folder.path().join("resources");
    std::fs::create_dir_all(&resources).expect("a folder can be made");
    for (at, text) in components.iter().enumerate() {
        std::fs::write(resources.join(format!("{at}.yaml")), text).expect("a file can be written there");
    }
    let words = ["sidecar", "--app-id", "shop", "--resources-path=resources", "--dapr-http-port", "0"];
    let mut launch = Launch::new(folder.path(), &words).word("--dapr-grpc-port").word("0");
    if let Some(app) = app {
        let url = app.url();
        let port = url.rsplit(':').next().unwrap_or_default().trim_end_matches('/');
        launch = launch.word("--app-port").word(port);
    }
    let server = launch.start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

#[tokio::test]
async fn operations_answer_as_the_protocol_has_it() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server =
        start(&folder, &[component("files", "bindings.localstorage", &[("rootPath", "kept")])], None).await;
    let client = server.client();
    let file = json!({"fileName": "a.txt"});
    let invoke = async |body: Value| client.post("/v1.0/bindings/files", &body).await;
    let made = invoke(json!({"operation": "create", "data": "hei", "metadata": file})).await;
    assert_eq!((made.status, made.json()), (200, json!({"fileName": "a.txt"})));
    assert_eq!(std::fs::read_to_string(folder.path().join("kept/a.txt")).expect("it is there"), "hei");
    assert_eq!(invoke(json!({"operation": "delete", "metadata": file})).await.status, 204);
    for (body, says) in [
        (json!({"operation": "get", "metadata": file}), "file not found: a.txt"),
        (json!({"operation": "fly"}), "does not support operation fly"),
        (json!({}), "operation field is missing"),
    ] {
        let refused = invoke(body).await;
        assert_eq!(
            (refused.status, refused.json()["errorCode"].clone()),
            (500, json!("ERR_INVOKE_OUTPUT_BINDING"))
        );
        assert!(refused.json()["message"].to_string().contains(says), "{}", refused.json());
    }
    let none = client.post("/v1.0/bindings/none", &json!({"operation": "get"})).await;
    assert!(none.json()["message"].to_string().contains("couldn't find output binding none"));
    let known = client.get("/v1.0/metadata").await.json();
    assert_eq!(known["components"][0]["capabilities"], json!(["OUTPUT_BINDING"]), "{known}");
}

#[tokio::test]
async fn a_tick_reaches_an_app_that_was_not_whole_at_first_and_its_answer_is_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let probes = AtomicUsize::new(0);
    let (app, mut asked) = app(move |(method, path, _)| match (method.as_str(), path.as_str()) {
        ("OPTIONS", "/ticks") if probes.fetch_add(1, Ordering::SeqCst) == 0 => (404, String::new()),
        ("OPTIONS", "/ticks") => (405, String::new()),
        ("POST", "/ticks") => {
            let follow = json!({
                "storeName": "kept", "state": [{"key": "last", "value": {"n": 1}}],
                "to": ["files"], "concurrency": "sequential", "data": {"from": "a tick"},
            });
            (200, follow.to_string())
        }
        _ => (404, String::new()),
    })
    .await;
    let components = [
        component("tick", "bindings.cron", &[("schedule", "@every 1s"), ("route", "/ticks")]),
        component("files", "bindings.localstorage", &[("rootPath", "kept")]),
        component("kept", "state.embedded", &[]),
    ];
    let mut server = start(&folder, &components, Some(&app)).await;
    let mut seen = Vec::new();
    while seen.iter().filter(|(method, ..): &&Asked| method == "POST").count() < 2 {
        seen.push(asked.recv().await.expect("the app is asked"));
    }
    let methods: Vec<_> =
        seen.iter().filter(|(_, path, _)| path == "/ticks").map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["OPTIONS", "OPTIONS", "POST", "POST"], "{seen:?}");
    // The second tick came after the first was worked on, with what follows from it.
    let read = server.client().get("/v1.0/state/kept/last").await;
    assert_eq!((read.status, read.json()), (200, json!({"n": 1})));
    let file =
        std::fs::read_dir(folder.path().join("kept")).expect("it is there").next().expect("it has a file");
    let text = std::fs::read_to_string(file.expect("it is listed").path()).expect("it can be read");
    assert_eq!(text, r#"{"from":"a tick"}"#);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_subscription_in_bulk_gets_several_messages_in_one_call() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (app, mut asked) = app(|(_, path, body)| match path.as_str() {
        "/dapr/subscribe" => {
            let bulk = json!({"enabled": true, "maxMessagesCount": 3, "maxAwaitDurationMs": 100});
            let one =
                json!({"pubsubname": "bus", "topic": "orders", "route": "/orders", "bulkSubscribe": bulk});
            (200, json!([one]).to_string())
        }
        "/orders" => {
            let body: Value = serde_json::from_str(body).expect("it is JSON");
            let ids = body["entries"].as_array().into_iter().flatten().map(|entry| &entry["entryId"]);
            let statuses: Vec<_> = ids.map(|id| json!({"entryId": id, "status": "SUCCESS"})).collect();
            (200, json!({"statuses": statuses}).to_string())
        }
        _ => (404, String::new()),
    })
    .await;
    let server = start(&folder, &[component("bus", "pubsub.embedded", &[])], Some(&app)).await;
    server.says("the app is subscribed").await;
    let entries: Vec<_> = (0..5)
        .map(|n| json!({"entryId": n.to_string(), "event": {"n": n}, "contentType": "application/json"}))
        .collect();
    let published = server.client().post("/v1.0/publish/bulk/bus/orders", &json!(entries)).await;
    assert_eq!(published.status, 204);
    let (mut got, mut calls) = (Vec::new(), 0);
    while got.len() < 5 {
        let (_, path, body) = asked.recv().await.expect("the app is asked");
        if path == "/orders" {
            let body: Value = serde_json::from_str(&body).expect("it is JSON");
            assert_eq!(
                (&body["type"], &body["topic"]),
                (&json!("com.dapr.event.sent.bulk"), &json!("orders"))
            );
            let events = body["entries"].as_array().cloned().unwrap_or_default();
            got.extend(events.iter().filter_map(|entry| entry["event"]["data"]["n"].as_u64()));
            calls += 1;
        }
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3, 4]);
    assert!(calls < 5, "several come in one call");
}
