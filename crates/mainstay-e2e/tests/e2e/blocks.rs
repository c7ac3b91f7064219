//! The building blocks inside `mainstay serve`: there when the spec names components, told to the apps, and part of
//! readiness.

use std::path::Path;

use mainstay_e2e::Place;
use mainstay_testkit::process::{Client, Server, until};
use serde_json::json;

const STORE: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: orders }
spec: { type: state.embedded, version: v1, metadata: [] }
";

/// A service with an app that writes down what it is told, and components if there are any.
fn place(components: &str, stores: &[(&str, &str)]) -> Place {
    let tell = "echo $APP_ID $DAPR_HTTP_PORT $DAPR_GRPC_PORT > told; while :; do sleep 0.05; done";
    let place = Place::new(&format!(
        "name: shop\n{components}agents:\n  a:\n    app:\n      url: http://127.0.0.1:1\n      command: \"{tell}\"\n"
    ));
    if !stores.is_empty() {
        write(place.path(), stores);
    }
    place
}

fn write(folder: &Path, stores: &[(&str, &str)]) {
    let folder = folder.join("components");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    for (name, text) in stores {
        std::fs::write(folder.join(name), text).expect("a file can be written there");
    }
}

async fn start(place: &Place) -> Server {
    let words = ["serve", ".", "--listen", "127.0.0.1:0", "--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    place.command(&words).start().await
}

/// What the app was told: its id and the two ports.
async fn told(place: &Place) -> Vec<String> {
    let file = place.path().join("told");
    let words = || std::fs::read_to_string(&file).unwrap_or_default();
    until("the app is told its ports", async || words().ends_with('\n')).await;
    words().split_whitespace().map(str::to_owned).collect()
}

fn sidecar(told: &[String]) -> Client {
    let port: u16 = told[1].parse().expect("it is a port");
    Client::new(([127, 0, 0, 1], port).into())
}

#[tokio::test]
async fn an_app_is_told_where_the_blocks_are_and_what_it_saves_is_there_after_a_kill() {
    let place = place("components: components\n", &[("orders.yaml", STORE)]);
    let server = start(&place).await;
    let words = told(&place).await;
    assert_eq!(words[0], "shop");
    let saved = sidecar(&words).post("/v1.0/state/orders", &json!([{"key": "k", "value": 7}])).await;
    assert_eq!(saved.status, 204);
    server.kill().await;
    std::fs::remove_file(place.path().join("told")).expect("it is there");
    let mut server = start(&place).await;
    let words = told(&place).await;
    assert_eq!(sidecar(&words).get("/v1.0/state/orders/k").await.json(), json!(7));
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
}

#[tokio::test]
async fn without_components_there_are_no_blocks() {
    let place = place("", &[]);
    let _server = start(&place).await;
    assert_eq!(told(&place).await.len(), 0);
}

#[tokio::test]
async fn a_reload_takes_new_components_and_keeps_the_old_ones_where_one_cannot_be_opened() {
    let place = place("components: components\n", &[("orders.yaml", STORE)]);
    let server = start(&place).await;
    let client = sidecar(&told(&place).await);
    let status = async |store: &str| client.get(&format!("/v1.0/state/{store}/k")).await.status;
    assert_eq!((status("orders").await, status("carts").await), (204, 400));
    write(place.path(), &[("carts.yaml", &STORE.replace("orders", "carts"))]);
    server.reload();
    until("the store answers", async || status("carts").await == 204).await;
    let vault = STORE
        .replace("orders", "vault")
        .replace("state.embedded", "secretstores.local.file")
        .replace("metadata: []", "metadata: [{ name: secretsFile, value: no-such-file.json }]");
    write(place.path(), &[("vault.yaml", &vault)]);
    server.reload();
    server.says("keeping the running spec").await;
    assert_eq!((status("orders").await, status("carts").await), (204, 204));
}

#[tokio::test]
async fn a_reload_takes_new_rules_and_external_services_too() {
    let place = place("components: components\n", &[("orders.yaml", STORE)]);
    let server = start(&place).await;
    let client = sidecar(&told(&place).await);
    let status = async |path: &str| client.get(path).await.status;
    let (key, call) = ("/v1.0/state/orders/k", "/v1.0/invoke/api/method/v1.0/healthz/outbound");
    assert_eq!((status(key).await, status(call).await), (204, 500));
    let head = |kind: &str, name: &str| {
        format!("apiVersion: dapr.io/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n")
    };
    let denied =
        head("Configuration", "c") + "  api: { denied: [{ name: state, version: v1.0, protocol: http }] }\n";
    let here =
        head("HTTPEndpoint", "api") + &format!("  baseUrl: http://127.0.0.1:{}\n", told(&place).await[1]);
    write(place.path(), &[("c.yaml", &denied), ("api.yaml", &here)]);
    server.reload();
    until("the call is answered", async || status(call).await == 204).await;
    assert_eq!(status(key).await, 404);
}

#[tokio::test]
async fn readiness_names_the_components() {
    let place = place("components: components\n", &[("orders.yaml", STORE)]);
    let server = start(&place).await;
    let ready = server.client().get("/ready").await.json();
    let named = ready["dependencies"].as_array().expect("it is a list").iter();
    let found: Vec<_> = named.filter(|one| one["name"] == "component orders").collect();
    assert_eq!(found.len(), 1, "{ready}");
    assert_eq!(found[0]["ready"], json!(true), "{ready}");
}

const LATE: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec:
  type: secretstores.local.file
  version: v1
  ignoreErrors: true
  metadata: [{ name: secretsFile, value: late.json }]
";

#[tokio::test]
async fn what_could_not_be_opened_is_tried_again() {
    let place = place("components: components\n", &[("vault.yaml", LATE)]);
    let server = start(&place).await;
    let client = sidecar(&told(&place).await);
    let is_there = async || {
        let ready = server.client().get("/ready").await.json();
        let named = ready["dependencies"].as_array().expect("it is a list").iter();
        let found: Vec<_> = named.filter(|one| one["name"] == "component vault").collect();
        assert_eq!(found.len(), 1, "{ready}");
        found[0]["ready"] == json!(true)
    };
    assert!(!is_there().await);
    std::fs::write(place.path().join("late.json"), r#"{"key": "here"}"#).expect("a file can be written");
    until("the component is there", is_there).await;
    assert_eq!(client.get("/v1.0/secrets/vault/key").await.json(), json!({"key": "here"}));
}

#[tokio::test]
async fn types_that_sockets_serve_are_there_and_known_to_check() {
    let sockets = tempfile::tempdir().expect("a temporary folder can be made");
    let mut provider = tokio::process::Command::new(mainstay_testkit::process::binary());
    provider.args(["components", "serve", "--socket-folder"]).arg(sockets.path());
    let _provider = provider.current_dir(sockets.path()).kill_on_drop(true).spawn().expect("it starts");
    let socket = sockets.path().join("mainstay.sock");
    until("the socket is there", async || tokio::net::UnixStream::connect(&socket).await.is_ok()).await;
    let place = place(
        "components: components\n",
        &[("orders.yaml", &STORE.replace("state.embedded", "state.mainstay"))],
    );
    let folder = sockets.path().to_str().expect("it is UTF-8");
    let here = |words: &[&str]| place.command(words).variable("DAPR_COMPONENTS_SOCKETS_FOLDER", folder);
    let checked = here(&["check"]).finish().await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let words = ["serve", ".", "--listen", "127.0.0.1:0", "--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let server = here(&words).start().await;
    let client = sidecar(&told(&place).await);
    let save = async |store: &str| {
        client.post(&format!("/v1.0/state/{store}"), &json!([{"key": "k", "value": 7}])).await.status
    };
    assert_eq!(save("orders").await, 204);
    assert_eq!(client.get("/v1.0/state/orders/k").await.json(), json!(7));
    write(
        place.path(),
        &[("carts.yaml", &STORE.replace("orders", "carts").replace("state.embedded", "state.mainstay"))],
    );
    server.reload();
    until("the new store saves", async || save("carts").await == 204).await;
    let elsewhere = place.command(&["check"]).finish().await;
    assert!(elsewhere.stderr.contains("no component type `state.mainstay`"), "{}", elsewhere.stderr);
}
