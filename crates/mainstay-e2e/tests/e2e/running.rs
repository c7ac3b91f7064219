//! `mainstay run` over the wire: what an app is given, what it is sent, how both end, and who sees them. The apps are
//! this test's own servers; what is run is a shell that says what it sees.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mainstay_testkit::loopback::{Answer, Loopback, Request, whole};
use mainstay_testkit::process::{Client, Launch, Server, until};
use serde_json::{Value, json};

/// An app that subscribes to the topic `news` of `pubsub`, and keeps the paths it was called at.
async fn app() -> (Loopback, Arc<Mutex<Vec<String>>>) {
    let called = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&called);
    let answer = move |request: Request| -> Answer {
        let path = request.uri().path().to_owned();
        let subscribed = json!([{ "pubsubname": "pubsub", "topic": "news", "route": "/news" }]);
        let body = if path == "/dapr/subscribe" { subscribed.to_string() } else { "{}".to_owned() };
        kept.lock().expect("nobody fails holding it").push(path);
        whole(200, "application/json", body)
    };
    let server = Loopback::serve(Arc::new(move |request| {
        let answer = answer(request);
        Box::pin(async move { answer })
    }));
    (server.await, called)
}

fn port(app: &Loopback) -> String {
    app.url().rsplit(':').next().expect("a URL has a port").to_owned()
}

fn launch(folder: &Path, words: &[&str]) -> Launch {
    let runtime = folder.join("runtime").display().to_string();
    Launch::new(folder, words).variable("MAINSTAY_RUNTIME_FOLDER", &runtime)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// The list of what runs, as programs read it.
async fn listed(folder: &Path) -> Vec<Value> {
    let list = launch(folder, &["list", "-o", "json"]).finish().await;
    let list: Value = serde_json::from_str(&list.stdout).expect("the list is JSON");
    list.as_array().cloned().expect("it is a list")
}

fn client_of(listed: &[Value], app_id: &str) -> Client {
    let app = listed.iter().find(|app| app["appId"] == app_id).expect("it is listed");
    let port = app["httpPort"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("it has a port");
    Client::new(([127, 0, 0, 1], port).into())
}

#[tokio::test]
async fn an_app_sees_its_surroundings_and_its_exit_code_is_passed_on() {
    let folder = folder();
    let show = "echo $APP_ID $APP_PROTOCOL [$APP_PORT] $DAPR_HTTP_PORT $DAPR_GRPC_PORT $0; exit 7";
    let run = launch(folder.path(), &["run", "-a", "shop", "--", "sh", "-c", show, "it's"]).finish().await;
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    let line = run.stdout.lines().find_map(|line| line.strip_prefix("== APP == ")).expect("it is shown");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((&words[..3], words[5]), (&["shop", "http", "[]"][..], "it's"), "{line}");
    let said = format!("Starting Dapr with id shop. HTTP Port: {}. gRPC Port: {}", words[3], words[4]);
    assert!(run.stdout.contains(&said), "{}", run.stdout);
    assert!(run.stdout.contains("The App process exited with error code: exit status 7"), "{}", run.stdout);
}

#[tokio::test]
async fn an_app_is_sent_what_it_subscribes_to_and_a_signal_ends_both_with_0() {
    let (folder, (app, called)) = (folder(), app().await);
    let told = "trap 'echo told; exit 9' TERM; while :; do sleep 0.05; done";
    let mut server = launch(
        folder.path(),
        &["run", "--app-id", "shop", "--app-port", &port(&app), "--", "sh", "-c", told],
    )
    .start()
    .await;
    server.says("You're up and running! Both Dapr and your app logs will appear here.").await;
    let sent = server.client().post("/v1.0/publish/pubsub/news", &json!({"n": 1})).await;
    assert_eq!(sent.status, 204);
    until("the app is told", async || {
        called.lock().expect("nobody fails holding it").iter().any(|path| path == "/news")
    })
    .await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
    let said = server.said();
    assert!(said.contains("== APP == told") && said.contains("Exited App successfully"), "{said}");
}

#[tokio::test]
async fn what_is_no_flag_is_refused_and_a_program_that_is_not_there_is_told() {
    let folder = folder();
    let unknown = launch(folder.path(), &["run", "--app-idd", "shop", "--", "true"]).finish().await;
    assert_eq!(unknown.code, Some(64));
    assert!(
        unknown.stderr.contains("--app-idd") && unknown.stderr.contains("--app-id"),
        "{}",
        unknown.stderr
    );
    let missing = launch(folder.path(), &["run", "--", "no-such-program"]).finish().await;
    assert_eq!(missing.code, Some(127));
    assert!(missing.stdout.contains("is there a program `no-such-program`?"), "{}", missing.stdout);
}

/// A folder with a run file of the apps `seller`, which listens at `port`, and `buyer`.
fn place(port: &str) -> tempfile::TempDir {
    let folder = folder();
    for name in ["seller", "buyer"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder can be made in it");
    }
    let idle = "trap 'exit 0' TERM; echo here; while :; do sleep 0.05; done";
    let text = format!(
        "version: 1\ncommon: {{ env: {{ LEVEL: info }} }}\napps:\n  - appDirPath: seller\n    appPort: {port}\n    \
         command: [sh, -c, \"{idle}\"]\n  - appDirPath: buyer\n    appLogDestination: file\n    \
         command: [sh, -c, \"{idle}\"]\n"
    );
    std::fs::write(folder.path().join("dapr.yaml"), text).expect("a file can be written there");
    folder
}

async fn start(folder: &Path) -> Server {
    let server = launch(folder, &["run", "-f", "."]).start().await;
    server.says("Started Dapr with app id \"buyer\"").await;
    server
}

/// The text of the logs of an app, of its own and of its sidecar's.
fn logs(folder: &Path, app: &str, of: &str) -> String {
    let entries = std::fs::read_dir(folder.join(app).join(".dapr/logs")).expect("there are logs");
    let entries = entries.map(|entry| entry.expect("it can be listed").path());
    let ours =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(of)));
    ours.map(|path| std::fs::read_to_string(path).expect("it can be read")).collect()
}

#[tokio::test]
async fn apps_of_a_file_share_what_is_inside_and_one_that_is_stopped_leaves_the_others() {
    let (app, called) = app().await;
    let folder = place(&port(&app));
    let mut server = start(folder.path()).await;
    server.says("== APP - seller == here").await;
    until("the app is subscribed", async || {
        logs(folder.path(), "seller", "daprd").contains("the app is subscribed")
    })
    .await;
    let running = listed(folder.path()).await;
    assert_eq!(running.len(), 2, "{running:?}");
    let sent = client_of(&running, "buyer").post("/v1.0/publish/pubsub/news", &json!({"n": 1})).await;
    assert_eq!(sent.status, 204);
    until("the app is told", async || {
        called.lock().expect("nobody fails holding it").iter().any(|path| path == "/news")
    })
    .await;

    let stopped = launch(folder.path(), &["stop", "--app-id", "buyer"]).finish().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    let running = listed(folder.path()).await;
    assert_eq!((running.len(), &running[0]["appId"]), (1, &json!("seller")));
    assert_eq!(client_of(&running, "seller").get("/v1.0/healthz").await.status, 204);

    let stopped = launch(folder.path(), &["stop", "-f", "dapr.yaml"]).finish().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
    assert_eq!(listed(folder.path()).await.len(), 0);
    assert_eq!(launch(folder.path(), &["stop", "-a", "seller"]).finish().await.code, Some(1));
    // Where lines go, the file says.
    assert!(!server.said().contains("== APP - buyer =="), "{}", server.said());
    assert!(logs(folder.path(), "buyer", "app").contains("== APP - buyer == here"));
    assert!(!logs(folder.path(), "buyer", "daprd").contains("the app is subscribed"));
}

#[tokio::test]
async fn a_run_that_is_killed_keeps_what_was_acknowledged_and_is_not_listed() {
    let (app, _) = app().await;
    let folder = place(&port(&app));
    let server = start(folder.path()).await;
    let client = client_of(&listed(folder.path()).await, "buyer");
    assert_eq!(client.post("/v1.0/state/statestore", &json!([{"key": "k", "value": 5}])).await.status, 204);
    server.kill().await;
    assert_eq!(listed(folder.path()).await.len(), 0);
    let _server = start(folder.path()).await;
    let client = client_of(&listed(folder.path()).await, "buyer");
    assert_eq!(client.get("/v1.0/state/statestore/k").await.json(), json!(5));
}

#[tokio::test]
async fn an_app_that_fails_leaves_the_others_and_its_code_is_the_runs() {
    let folder = folder();
    let text = "version: 1\napps:\n  - { appID: a, appDirPath: ., command: [sh, -c, exit 3] }\n  \
                - { appID: b, appDirPath: ., command: [sh, -c, \"sleep 0.2; echo done\"] }\n";
    std::fs::write(folder.path().join("dapr.yaml"), text).expect("a file can be written there");
    let run = launch(folder.path(), &["run", "-f", "dapr.yaml"]).finish().await;
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stdout.contains("== APP - b == done"), "{}", run.stdout);
}

#[tokio::test]
async fn every_fault_of_a_run_file_is_shown_at_its_place() {
    let folder = folder();
    let text = "version: 1\napps:\n  - appDirPath: nowhere\n  - appID: b\n";
    std::fs::write(folder.path().join("dapr.yaml"), text).expect("a file can be written there");
    let run = launch(folder.path(), &["run", "-f", "."]).finish().await;
    assert_eq!(run.code, Some(78), "{}", run.stderr);
    for part in ["dapr.yaml:3:17", "no `nowhere`", "dapr.yaml:4:", "`appDirPath`"] {
        assert!(run.stderr.contains(part), "`{part}` is missing:\n{}", run.stderr);
    }
}
