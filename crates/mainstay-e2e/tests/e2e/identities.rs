//! External services (`HTTPEndpoint`) behind TLS: whom we trust, and whom we show ourselves as (`clientTLS`).

use std::path::Path;
use std::sync::Arc;

use mainstay_e2e::app::{App, Authority, Identity, Wire};
use mainstay_e2e::sidecar::start;
use mainstay_testkit::loopback::{self, Request, whole};
use mainstay_testkit::process::Answer;
use serde_json::json;

fn service() -> loopback::Service {
    Arc::new(|_: Request| Box::pin(async { whole(200, "text/plain", "come in") }))
}

/// A file for the external service `bank` at a port, its parts read from a file of secrets.
fn resources(port: u16, tls: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{ name: vault }}
spec: {{ type: secretstores.local.file, version: v1, metadata: [{{ name: secretsFile, value: keys.json }}] }}
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {{ name: bank }}
auth: {{ secretStore: vault }}
spec:
  baseUrl: https://localhost:{port}
{tls}"
    )
}

/// What the file says of parts: those named are secrets of their names.
fn parts(names: &[&str]) -> String {
    let part = |name: &&str| format!("    {name}: {{ secretKeyRef: {{ name: {name}, key: {name} }} }}\n");
    format!("  clientTLS:\n{}", names.iter().map(part).collect::<String>())
}

fn keep(folder: &Path, root: &str, identity: &Identity) {
    let secrets = json!({"rootCA": root, "certificate": identity.certificate, "privateKey": identity.key});
    std::fs::write(folder.join("keys.json"), secrets.to_string()).expect("a file can be written");
}

async fn call(port: u16, tls: &str, root: &str, identity: &Identity) -> Answer {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    keep(folder.path(), root, identity);
    let server = start(folder.path(), &resources(port, tls), &[]).await;
    server.client().get("/v1.0/invoke/bank/method/door").await
}

#[tokio::test]
async fn a_service_that_asks_who_we_are_is_shown_the_files_certificate() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let app = App::answering(Wire::mutual_tls(&servers.identity("localhost"), &clients), service()).await;
    let (root, own) = (servers.certificate(), clients.identity("shop"));
    let check = async |names: &[&str], root: &str, identity: &Identity, status: u16| {
        let answer = call(app.port(), &parts(names), root, identity).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{names:?}: {text}");
        match status {
            200 => assert_eq!(text, "come in"),
            _ => assert_eq!(answer.json()["errorCode"], json!("ERR_DIRECT_INVOKE"), "{text}"),
        }
    };
    let all = ["rootCA", "certificate", "privateKey"];
    check(&all, &root, &own, 200).await;
    // Nobody, somebody whom the service does not know, and a service that we do not know.
    check(&["rootCA"], &root, &own, 500).await;
    check(&all, &root, &Authority::new().identity("shop"), 500).await;
    check(&all, &Authority::new().certificate(), &own, 500).await;
    check(&["certificate", "privateKey"], &root, &own, 500).await;
}

#[tokio::test]
async fn the_files_root_is_enough_for_a_service_that_asks_for_nobody() {
    let servers = Authority::new();
    let app = App::answering(Wire::tls(&servers.identity("localhost")), service()).await;
    let (root, unused) = (servers.certificate(), servers.identity("unused"));
    assert_eq!(call(app.port(), &parts(&["rootCA"]), &root, &unused).await.status, 200);
    assert_eq!(call(app.port(), "", &root, &unused).await.status, 500);
}

#[tokio::test]
async fn a_certificate_that_is_none_stops_the_start_and_is_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let own = Authority::new().identity("shop");
    keep(folder.path(), "hunter2", &own);
    let resources = resources(1, &parts(&["rootCA"]));
    let ended = mainstay_e2e::sidecar::launch(folder.path(), &resources, &[]).finish().await;
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("`bank`") && ended.stderr.contains("root certificates"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}
