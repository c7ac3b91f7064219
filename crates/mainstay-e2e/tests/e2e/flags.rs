//! What a sidecar's flags turn on besides its two ports, against the real binary: sockets, a public port, metrics, a
//! log of calls, reflection, and what it answers and ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use mainstay_e2e::sidecar::{self, STORE_AND_BROKER};
use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::{Client, Launch, PATIENCE, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Policies beside a store and a broker, so that there is something to tell of.
const POLICIES: &str = "---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: patient }
spec: { policies: { timeouts: { long: 60s } } }
";

fn launch(folder: &Path, words: &[&str]) -> Launch {
    sidecar::launch(folder, &format!("{STORE_AND_BROKER}{POLICIES}"), words)
}

async fn start(folder: &Path, words: &[&str]) -> Server {
    sidecar::start(folder, &format!("{STORE_AND_BROKER}{POLICIES}"), words).await
}

/// What is at the port of which the log says that it is up.
fn client_of(server: &Server, what: &str) -> Client {
    let said = server.said();
    let line = said.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {said}"));
    let port = line.rsplit("address=").next().and_then(|text| text.split_whitespace().next());
    let port = port.and_then(|address| address.trim_matches('"').rsplit(':').next()?.parse::<u16>().ok());
    Client::new(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("no port: {line}"))).into())
}

#[tokio::test]
async fn calls_and_deliveries_are_counted_under_the_names_that_dashboards_know() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let app = Loopback::serve(Arc::new(|request: Request| {
        let status = if request.uri().path() == "/paid" { 200 } else { 404 };
        Box::pin(async move { whole(status, "application/json", "{}") })
    }))
    .await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let words = ["--metrics-port", "0", "--app-port", &port, "--enable-api-logging"];
    let server = start(folder.path(), &words).await;
    server.says("the app is subscribed").await;
    let (client, metrics) = (server.client(), client_of(&server, "metrics are up"));
    for _ in 0..2 {
        let saved = client.post("/v1.0/state/orders", &json!([{"key": "k", "value": 1}])).await;
        assert_eq!(saved.status, 204);
    }
    assert_eq!(client.get("/v1.0/state/orders/k").await.status, 200);
    assert_eq!(client.get("/v1.0/state/nobody/k").await.status, 400);
    let all = "app_id=\"shop\",namespace=\"\",component=";
    let wanted = [
        format!("dapr_component_state_count{{{all}\"orders\",operation=\"set\",success=\"true\"}} 2"),
        format!("dapr_component_state_latencies_count{{{all}\"orders\",operation=\"get\",success=\"true\"}} 1"),
        "dapr_http_server_request_count{app_id=\"shop\",method=\"GET\",path=\"/v1.0/state/{store}/{key}\",status=\"400\"} 1"
            .to_owned(),
        format!("dapr_component_pubsub_ingress_count{{{all}\"bus\",topic=\"paid\",process_status=\"success\",status=\"success\"}}"),
        format!("dapr_component_pubsub_egress_count{{{all}\"bus\",success=\"true\",topic=\"paid\"}}"),
        "process_resident_memory_bytes ".to_owned(),
    ];
    let shown = async {
        loop {
            assert_eq!(client.post("/v1.0/publish/bus/paid", &json!({"n": 1})).await.status, 204);
            let scraped = metrics.get("/metrics").await;
            assert!(
                scraped
                    .header("content-type")
                    .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
            );
            let text = String::from_utf8_lossy(&scraped.body).into_owned();
            if wanted.iter().all(|line| text.lines().any(|one| one.starts_with(line.as_str()))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, shown).await.is_err() {
        let text = String::from_utf8_lossy(&metrics.get("/metrics").await.body).into_owned();
        panic!("{wanted:#?}\n{text}");
    }
    server.says("HTTP API Called").await;
    assert!(server.said().contains("/v1.0/state/nobody/k"), "{}", server.said());
}

#[tokio::test]
async fn without_metrics_and_logging_there_is_neither() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), &["--enable-metrics=false"]).await;
    assert_eq!(server.client().get("/v1.0/state/orders/k").await.status, 204);
    let said = server.said();
    assert!(!said.contains("metrics are up") && !said.contains("API Called"), "{said}");
}

#[tokio::test]
async fn the_public_port_shows_health_and_metadata_without_a_token_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let words = ["--dapr-public-port", "0", "--dapr-public-listen-address", "127.0.0.1"];
    let server = launch(folder.path(), &words).variable("DAPR_API_TOKEN", "secret").start().await;
    server.says("dapr initialized. Status: Running.").await;
    let public = client_of(&server, "health and metadata are up");
    assert_eq!(server.client().get("/v1.0/metadata").await.status, 401);
    assert_eq!(public.get("/v1.0/healthz").await.status, 204);
    let metadata = public.get("/v1.0/metadata").await.json();
    assert_eq!((&metadata["id"], &metadata["resiliencies"]), (&json!("shop"), &json!([{"name": "patient"}])));
    assert_eq!(metadata["enabledFeatures"], json!(["HotReload"]), "{metadata}");
    assert_eq!(public.get("/v1.0/state/orders/k").await.status, 404);
    let put = public.request(Method::PUT, "/v1.0/metadata/k", Bytes::from_static(b"v"));
    assert_eq!(public.send(put).await.status, 404);
}

/// Speaks HTTP over a socket: the whole answer.
async fn over(socket: &Path, line: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("it listens");
    let asked = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

#[tokio::test]
async fn both_apis_are_at_sockets_where_a_folder_is_given() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let words = ["sidecar", "--app-id", "shop", "--unix-domain-socket", ".", "--enable-metrics=false"];
    let mut command = tokio::process::Command::new(mainstay_testkit::process::binary());
    command.args(words).current_dir(folder.path()).env_clear().env("HOME", folder.path()).kill_on_drop(true);
    let mut server = command.spawn().expect("the binary starts");
    let [http, grpc] = ["http", "grpc"].map(|api| folder.path().join(format!("dapr-shop-{api}.socket")));
    let listens = async {
        // Both are there before either answers.
        while !grpc.exists() || !over(&http, "GET /v1.0/healthz/outbound").await.starts_with("HTTP/1.1 204") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.expect("it listens in time");
    assert!(over(&http, "POST /v1.0/shutdown").await.starts_with("HTTP/1.1 204"));
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it ends in time");
    assert_eq!(ended.expect("it can be waited for").code(), Some(0));
    assert!(!http.exists() && !grpc.exists(), "the sockets go with the process");
}

#[tokio::test]
async fn it_says_its_version_and_waits_for_another() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let said = Launch::new(folder.path(), &["sidecar", "-version"]).finish().await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "1.18.3\n"));
    let said = Launch::new(folder.path(), &["sidecar", "--build-info"]).finish().await;
    assert!(said.stdout.starts_with("Version: 1.18.3, "), "{}", said.stdout);
    let server = start(folder.path(), &[]).await;
    let port = server.address().port().to_string();
    let waited = Launch::new(folder.path(), &["sidecar", "--wait", "--dapr-http-port", &port]).finish().await;
    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
}

#[tokio::test]
async fn that_kubernetes_is_not_asked_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), &["--mode", "kubernetes"]).await;
    assert!(server.said().contains("`--mode kubernetes` has no effect here"), "{}", server.said());
    let server = start(folder.path(), &["--mode", "standalone"]).await;
    assert!(!server.said().contains("`--mode"), "{}", server.said());
}
