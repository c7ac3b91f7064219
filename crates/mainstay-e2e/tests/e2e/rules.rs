//! External services, lists of APIs, access control and pipelines that change while a sidecar runs, against the real
//! binary.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::{Answer, Client, Launch, PATIENCE, Server};
use serde_json::json;
use tokio::sync::Semaphore;

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: dapr.io/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
}

fn component(name: &str, kind: &str, settings: &str) -> String {
    document("Component", name, &format!("{{ type: {kind}, version: v1, metadata: [{settings}] }}"))
}

fn write(folder: &Path, name: &str, text: &str) {
    let resources = folder.join("resources");
    std::fs::create_dir_all(&resources).expect("a folder can be made");
    std::fs::write(resources.join(name), text).expect("a file can be written");
}

async fn start(folder: &Path, words: &[&str]) -> Server {
    write(folder, "orders.yaml", &component("orders", "state.in-memory", ""));
    let all = ["sidecar", "--resources-path", "resources", "--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let launch = Launch::new(folder, &all).variable("MAINSTAY_RUNTIME_FOLDER", &folder.display().to_string());
    let server = words.iter().fold(launch, |launch, word| launch.word(word)).start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

/// Asks until the answer is as wanted.
async fn until(client: &Client, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asked = async {
        loop {
            let answer = client.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{path} changes in time"))
}

/// A service that says its name at `/name`, and at `/slow` once it is let.
async fn service(name: &'static str, lets: &Arc<Semaphore>) -> Loopback {
    let lets = Arc::clone(lets);
    Loopback::serve(Arc::new(move |request: Request| {
        let (lets, path) = (Arc::clone(&lets), request.uri().path().to_owned());
        Box::pin(async move {
            if path == "/slow" {
                lets.acquire().await.expect("it stays open").forget();
            }
            whole(200, "text/plain", name)
        })
    }))
    .await
}

#[tokio::test]
async fn an_external_service_comes_moves_and_goes_with_its_file_and_no_call_is_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let lets = Arc::new(Semaphore::new(0));
    let (first, second) = (service("first", &lets).await, service("second", &lets).await);
    let server = start(folder.path(), &["--app-id", "shop"]).await;
    let client = server.client();
    let endpoint =
        |at: &Loopback| document("HTTPEndpoint", "api", &format!("{{ baseUrl: \"{}\" }}", at.url()));
    let path = "/v1.0/invoke/api/method/name";
    assert_eq!(client.get(path).await.status, 500);
    write(folder.path(), "api.yaml", &endpoint(&first));
    assert_eq!(until(&client, path, |answer| answer.status == 200).await.body, "first");
    let named = client.get("/v1.0/metadata").await.json();
    assert_eq!(named["httpEndpoints"], json!([{"name": "api"}]), "{named}");
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.get("/v1.0/invoke/api/method/slow").await });
    write(folder.path(), "api.yaml", &endpoint(&second));
    until(&client, path, |answer| answer.body == "second").await;
    // With a fault anywhere nothing changes.
    write(folder.path(), "bad.yaml", &component("bad", "state.redsi", ""));
    write(folder.path(), "api.yaml", &endpoint(&first));
    server.says("keeping the resources as they were").await;
    assert_eq!(client.get(path).await.body, "second");
    std::fs::remove_file(folder.path().join("resources/bad.yaml")).expect("it is there");
    std::fs::remove_file(folder.path().join("resources/api.yaml")).expect("it is there");
    until(&client, path, |answer| answer.status == 500).await;
    lets.add_permits(1);
    assert_eq!(slow.await.expect("it ends").body, "first", "the call ended with what it began with");
    assert!(client.get("/v1.0/metadata").await.json()["httpEndpoints"].is_null());
    assert!(!server.said().contains("at the next start"), "{}", server.said());
}

#[tokio::test]
async fn apis_are_taken_away_and_given_back_while_it_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), &["--app-id", "shop"]).await;
    let client = server.client();
    let path = "/v1.0/state/orders/k";
    assert_eq!(client.get(path).await.status, 204);
    let denied = "{ api: { denied: [{ name: state, version: v1.0, protocol: http }] } }";
    write(folder.path(), "c.yaml", &document("Configuration", "c", denied));
    until(&client, path, |answer| answer.status == 404).await;
    assert_eq!(client.get("/v1.0/metadata").await.status, 200);
    let other = "{ metric: { enabled: false } }";
    write(folder.path(), "c.yaml", &document("Configuration", "c", other));
    until(&client, path, |answer| answer.status == 204).await;
    server.says("takes effect at the next start").await;
}

#[tokio::test]
async fn a_pipeline_comes_and_goes_with_its_file() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), &["--app-id", "shop"]).await;
    let client = server.client();
    let routes = r#"{ name: routes, value: '{"/known": "/v1.0/metadata"}' }"#;
    let pipeline = "{ httpPipeline: { handlers: [{ name: names, type: middleware.http.routeralias }] } }";
    // Without its component the pipeline is a fault, and nothing changes.
    write(folder.path(), "c.yaml", &document("Configuration", "c", pipeline));
    server.says("keeping the resources as they were").await;
    assert_eq!(client.get("/known").await.status, 404);
    write(folder.path(), "names.yaml", &component("names", "middleware.http.routeralias", routes));
    assert_eq!(until(&client, "/known", |answer| answer.status == 200).await.json()["id"], json!("shop"));
    std::fs::remove_file(folder.path().join("resources/c.yaml")).expect("it is there");
    until(&client, "/known", |answer| answer.status == 404).await;
}

#[tokio::test]
async fn who_may_call_the_app_changes_while_it_runs() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder can be made"));
    let app = service("bank", &Arc::new(Semaphore::new(0))).await;
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let bank = start(folders[0].path(), &["--app-id", "bank", "--app-port", &port]).await;
    let runtime = folders[0].path().display().to_string();
    let words = ["sidecar", "--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let launch = Launch::new(folders[1].path(), &words).variable("MAINSTAY_RUNTIME_FOLDER", &runtime);
    let shop = launch.start().await;
    shop.says("dapr initialized. Status: Running.").await;
    let (client, path) = (shop.client(), "/v1.0/invoke/bank/method/name");
    assert_eq!(until(&client, path, |answer| answer.status == 200).await.body, "bank");
    let closed = "{ accessControl: { defaultAction: deny, trustDomain: public } }";
    write(folders[0].path(), "c.yaml", &document("Configuration", "c", closed));
    until(&client, path, |answer| answer.status == 403).await;
    std::fs::remove_file(folders[0].path().join("resources/c.yaml")).expect("it is there");
    until(&client, path, |answer| answer.status == 200).await;
    drop(bank);
}
