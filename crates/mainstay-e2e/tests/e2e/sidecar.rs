//! `mainstay sidecar` over the wire: what it takes, what it keeps, how it ends.

use std::path::Path;

use mainstay_testkit::process::{Launch, Server};
use serde_json::json;

const STORE: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: orders }
spec: { type: state.embedded, version: v1, metadata: [] }
";

/// A folder whose resources are these files.
fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let resources = folder.path().join("resources");
    std::fs::create_dir(&resources).expect("a folder can be made in it");
    for (name, text) in files {
        std::fs::write(resources.join(name), text).expect("a file can be written there");
    }
    folder
}

/// The command line, with Go's single dashes, as scripts that start daprd may have them.
fn launch(folder: &Path) -> Launch {
    let words = ["sidecar", "-app-id", "shop", "--resources-path=resources", "-dapr-http-port", "0"];
    // Sidecars of other tests have the same id.
    let runtime = folder.join("runtime").display().to_string();
    let launch = Launch::new(folder, &words).variable("MAINSTAY_RUNTIME_FOLDER", &runtime);
    launch.word("--dapr-grpc-port").word("0").word("--enable-metrics=false")
}

async fn start(folder: &Path) -> Server {
    let server = launch(folder).start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = place(&[("orders.yaml", STORE)]);
    let server = start(folder.path()).await;
    let client = server.client();
    for n in 0..20 {
        let saved = client.post("/v1.0/state/orders", &json!([{"key": format!("k{n}"), "value": n}])).await;
        assert_eq!(saved.status, 204);
    }
    server.kill().await;
    let server = start(folder.path()).await;
    for n in 0..20 {
        let read = server.client().get(&format!("/v1.0/state/orders/k{n}")).await;
        assert_eq!((read.status, read.json()), (200, json!(n)));
    }
}

/// A store whose values are encrypted under keys of these names, which a file has.
fn encrypted(keys: &[(&str, &str)]) -> String {
    let lines = keys.iter().map(|(setting, key)| {
        format!("  - {{ name: {setting}, secretKeyRef: {{ name: {key}, key: {key} }} }}\n")
    });
    let settings: String = lines.collect();
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: orders }}\nspec:\n  type: state.embedded\n  version: v1\n  metadata:\n{settings}auth: {{ secretStore: vault }}\n"
    )
}

#[tokio::test]
async fn values_are_encrypted_on_the_disk_and_read_with_the_former_key_too() {
    let vault = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec: { type: secretstores.local.file, version: v1, metadata: [{ name: secretsFile, value: keys.json }] }
";
    let folder = place(&[("vault.yaml", vault), ("a.yaml", &encrypted(&[("primaryEncryptionKey", "old")]))]);
    let keys = json!({"old": "0f".repeat(32), "new": "f0".repeat(32)}).to_string();
    std::fs::write(folder.path().join("keys.json"), keys).expect("a file can be written");
    let server = start(folder.path()).await;
    let items = json!([{"key": "k", "value": "in the clear"}]);
    assert_eq!(server.client().post("/v1.0/state/orders", &items).await.status, 204);
    server.kill().await;
    let shown: Vec<_> =
        files(folder.path()).into_iter().filter(|file| holds(file, b"in the clear")).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert!(files(folder.path()).iter().any(|file| holds(file, b"shop||k")), "the value is on the disk");
    let both = [("primaryEncryptionKey", "new"), ("secondaryEncryptionKey", "old")];
    std::fs::write(folder.path().join("resources/a.yaml"), encrypted(&both)).expect("it can be written");
    let server = start(folder.path()).await;
    let read = server.client().get("/v1.0/state/orders/k").await;
    assert_eq!((read.status, read.json()), (200, json!("in the clear")));
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(file: &Path, text: &[u8]) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
}

#[tokio::test]
async fn a_prefix_that_holds_the_separator_stops_the_start() {
    let prefix = STORE.replace("metadata: []", "metadata: [{ name: keyPrefix, value: 'a||b' }]");
    let ended = launch(place(&[("orders.yaml", &prefix)]).path()).finish().await;
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("`keyPrefix` must not hold"), "{}", ended.stderr);
}

#[tokio::test]
async fn it_ends_with_0_when_the_app_or_a_signal_says_so() {
    let folder = place(&[("orders.yaml", STORE)]);
    let mut server = start(folder.path()).await;
    assert_eq!(server.client().get("/v1.0/healthz").await.status, 204);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    let mut server = start(folder.path()).await;
    assert_eq!(server.client().post("/v1.0/shutdown", &json!({})).await.status, 204);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn every_fault_of_the_files_is_shown_at_its_place() {
    let unknown = STORE.replace("state.embedded", "state.embeded");
    let twice =
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: orders }\nspec: { type: [1] }\n";
    let folder = place(&[("a.yaml", &unknown), ("b.yaml", twice)]);
    let ended = launch(folder.path()).finish().await;
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for part in ["a.yaml:5:", "state.embeded", "state.embedded", "b.yaml:"] {
        assert!(ended.stderr.contains(part), "`{part}` is missing:\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_component_that_cannot_be_opened_stops_the_start_unless_it_may_be_missing() {
    let vault = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec:
  type: secretstores.local.file
  version: v1
  metadata: [{ name: secretsFile, value: no-such-file.json }]
";
    let folder = place(&[("vault.yaml", vault)]);
    let ended = launch(folder.path()).finish().await;
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains("open the component `vault`"), "{}", ended.stderr);
    let folder = place(&[("vault.yaml", &format!("{vault}  ignoreErrors: true\n")), ("orders.yaml", STORE)]);
    let server = start(folder.path()).await;
    let known = server.client().get("/v1.0/metadata").await.json();
    assert_eq!(known["components"].as_array().map(Vec::len), Some(1), "{known}");
}

#[tokio::test]
async fn a_component_is_there_for_the_apps_of_its_scopes_alone() {
    let scoped = format!("{STORE}scopes: [other]\n");
    let folder = place(&[("orders.yaml", &scoped)]);
    let server = start(folder.path()).await;
    let read = server.client().get("/v1.0/state/orders/k").await;
    assert_eq!(
        (read.status, read.json()["errorCode"].clone()),
        (500, json!("ERR_STATE_STORE_NOT_CONFIGURED"))
    );
}

const VAULT: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec: { type: secretstores.local.env, version: v1, metadata: [] }
";

fn configuration(spec: &str) -> String {
    format!("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {{ name: c }}\nspec:\n  {spec}\n")
}

#[tokio::test]
async fn secrets_are_shown_within_their_scopes_alone() {
    let scopes = configuration(
        "secrets: { scopes: [{ storeName: vault, defaultAccess: deny, allowedSecrets: [HOME] }] }",
    );
    let folder = place(&[("vault.yaml", VAULT), ("c.yaml", &scopes)]);
    let server = start(folder.path()).await;
    let client = server.client();
    let home = client.get("/v1.0/secrets/vault/HOME").await;
    assert_eq!((home.status, home.json()["HOME"].as_str()), (200, folder.path().to_str()));
    let denied = client.get("/v1.0/secrets/vault/PATH").await;
    assert_eq!((denied.status, denied.json()["errorCode"].clone()), (403, json!("ERR_PERMISSION_DENIED")));
    let all = client.get("/v1.0/secrets/vault/bulk").await.json();
    assert_eq!(all.as_object().map(serde_json::Map::len), Some(1), "{all}");
}

#[tokio::test]
async fn a_denied_type_stops_the_start() {
    let denied = configuration("components: { deny: [state.embedded] }");
    let folder = place(&[("orders.yaml", STORE), ("c.yaml", &denied)]);
    let ended = launch(folder.path()).finish().await;
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
}

#[tokio::test]
async fn a_declared_subscription_is_for_the_apps_of_its_scopes_alone() {
    let broker = STORE.replace("orders", "bus").replace("state.embedded", "pubsub.embedded");
    let subscription = |topic: &str, app: &str| {
        format!(
            "apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: {{ name: {topic} }}\nspec:\n  pubsubname: bus\n  \
             topic: {topic}\n  routes: {{ default: /x }}\nscopes: [{app}]\n"
        )
    };
    let (ours, theirs) = (subscription("ours", "shop"), subscription("theirs", "bank"));
    let folder = place(&[("bus.yaml", &broker), ("ours.yaml", &ours), ("theirs.yaml", &theirs)]);
    let app = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = app.local_addr().expect("a listener has an address").port().to_string();
    let words = ["--app-port", &port, "--disable-init-endpoints", "subscribe,config"];
    let server = words.iter().fold(launch(folder.path()), |launch, word| launch.word(word)).start().await;
    server.says("dapr initialized. Status: Running.").await;
    let said = server.said();
    assert!(said.contains("topic=ours") && !said.contains("topic=theirs"), "{said}");
}
