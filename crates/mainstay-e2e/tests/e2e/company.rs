//! Apps beside each other in one service: each has the building blocks under its own id, and they find each other.

use std::path::Path;

use mainstay_e2e::Place;
use mainstay_testkit::process::{Answer, Server, until};
use serde_json::json;

const COMPONENTS: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: bus }
spec: { type: pubsub.embedded, version: v1, metadata: [] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: store }
spec: { type: state.embedded, version: v1, metadata: [] }
scopes: [one]
";

/// An app of the standard library. It passes on to its sidecar what it is asked below its name, says who it is, and
/// writes down the messages that it is sent, and, when it is told to end, what its sidecar answers to a last one.
const APP: &str = r#"
import http.server, json, os, signal, urllib.error, urllib.request

ID = os.environ["APP_ID"]
SIDECAR = "http://127.0.0.1:" + os.environ["DAPR_HTTP_PORT"]

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/dapr/subscribe":
            return self.answer(200, json.dumps([{"pubsubname": "bus", "topic": "news", "route": "/news"}]))
        if self.path.startswith("/" + ID + "/"):
            return self.pass_on("GET", None)
        if self.path in ("/health", "/dapr/config"):
            return self.answer(200, "{}")
        self.answer(404, "{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/news":
            with open(ID + ".news", "ab") as file:
                file.write(json.dumps(json.loads(body)["data"]).encode() + b"\n")
            return self.answer(200, "{}")
        if self.path == "/who":
            caller = self.headers.get("dapr-caller-app-id", "")
            return self.answer(200, json.dumps({"id": ID, "caller": caller, "pid": os.getpid()}))
        self.pass_on("POST", body)

    def pass_on(self, method, body):
        url = SIDECAR + self.path.removeprefix("/" + ID)
        request = urllib.request.Request(url, body, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                self.answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read().decode())

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass

def leave(*_):
    request = urllib.request.Request(SIDECAR + "/v1.0/publish/bus/news", b"{}", {"content-type": "application/json"})
    try:
        said = urllib.request.urlopen(request).status
    except OSError as error:
        said = error
    with open(ID + ".farewell", "w") as file:
        file.write(f"{said}\n")
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])), App).serve_forever()
"#;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// An app of a spec, with the route of its name.
fn app(name: &str) -> String {
    format!(
        "  {name}: {{ url: \"http://127.0.0.1:{}\", command: exec python3 app.py, routes: [/{name}] }}\n",
        free_port()
    )
}

fn spec(apps: &[String]) -> String {
    format!("name: company\ncomponents: components\napps:\n{}", apps.concat())
}

fn place(apps: &[String]) -> Place {
    let place = Place::new(&spec(apps));
    std::fs::write(place.path().join("app.py"), APP).expect("a file can be written");
    std::fs::create_dir_all(place.path().join("components")).expect("a folder can be made");
    std::fs::write(place.path().join("components/all.yaml"), COMPONENTS).expect("a file can be written");
    place
}

async fn serve(place: &Place) -> Server {
    let runtime = place.path().join("runtime").display().to_string();
    let launch = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]);
    let server = launch.variable("MAINSTAY_RUNTIME_FOLDER", &runtime).start().await;
    until("the service is ready", async || server.client().get("/ready").await.status == 200).await;
    server
}

/// Asks `callee` who it is, by way of `caller` and its sidecar.
async fn who(server: &Server, caller: &str, callee: &str) -> Answer {
    let path = format!("/{caller}/v1.0/invoke/{callee}/method/who");
    server.client().post(&path, &json!({})).await
}

fn lines(folder: &Path, name: &str) -> usize {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn apps_call_each_other_by_their_names_and_hear_of_each_others_messages() {
    let place = place(&[app("one"), app("two")]);
    let mut server = serve(&place).await;
    let client = server.client();
    until("one reaches two", async || who(&server, "one", "two").await.status == 200).await;
    let answer = who(&server, "one", "two").await.json();
    assert_eq!((&answer["id"], &answer["caller"]), (&json!("two"), &json!("one")));
    let heard = |app: &str| lines(place.path(), &format!("{app}.news"));
    let told = async || {
        assert_eq!(client.post("/one/v1.0/publish/bus/news", &json!({"n": 1})).await.status, 204);
        heard("one") > 0 && heard("two") > 0
    };
    until("both hear the news", told).await;
    assert_eq!(client.post("/one/v1.0/state/store", &json!([{"key": "k", "value": 7}])).await.status, 204);
    assert_eq!(client.get("/one/v1.0/state/store/k").await.json(), json!(7));
    // The store is not for the other one, which is said of a store that there is none of.
    assert_eq!(client.get("/two/v1.0/state/store/k").await.status, 500);
    // Nobody outside is an app, and what is not opened is not reached.
    assert_eq!(client.post("/who", &json!({})).await.status, 404);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
}

#[tokio::test]
async fn an_app_that_comes_with_a_reload_has_its_blocks_and_the_others_go_on() {
    let (one, two) = (app("one"), app("two"));
    let place = place(std::slice::from_ref(&one));
    let server = serve(&place).await;
    let first = who(&server, "one", "one").await.json();
    place.write(&spec(&[one.clone(), two]));
    server.reload();
    until("two reaches one", async || who(&server, "two", "one").await.status == 200).await;
    let answer = who(&server, "two", "one").await.json();
    assert_eq!((&answer["caller"], &answer["pid"]), (&json!("two"), &first["pid"]));
    place.write(&spec(&[one]));
    server.reload();
    server.says("stopping the app: the spec has it no longer").await;
    let farewell = || std::fs::read_to_string(place.path().join("two.farewell")).unwrap_or_default();
    until("two has said farewell", async || farewell().ends_with('\n')).await;
    assert_eq!(farewell(), "204\n");
    assert_eq!(server.client().get("/two").await.json()["error"]["code"], "UNKNOWN_ROUTE");
    assert_eq!(who(&server, "one", "two").await.status, 500);
    assert_eq!(who(&server, "one", "one").await.json()["pid"], first["pid"]);
    // One that moves is another process, and the id goes with it.
    place.write(&spec(&[app("one")]));
    server.reload();
    let moved = async || {
        let answer = who(&server, "one", "one").await;
        answer.status == 200 && answer.json()["pid"] != first["pid"]
    };
    until("another process has the name", moved).await;
    until("the service is ready", async || server.client().get("/ready").await.status == 200).await;
}

#[tokio::test]
async fn a_reload_that_cannot_open_a_new_apps_blocks_leaves_each_app_with_its_own() {
    let one = app("one");
    let place = place(std::slice::from_ref(&one));
    let server = serve(&place).await;
    let first = who(&server, "one", "one").await.json();
    let vault = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec: { type: secretstores.local.file, version: v1, metadata: [{ name: secretsFile, value: none.json }] }
scopes: [two]
";
    let file = place.path().join("components/vault.yaml");
    std::fs::write(&file, vault).expect("a file can be written");
    // One moves, which ends its sidecar, before the other's cannot be opened.
    let moved = [app("one"), app("two")];
    place.write(&spec(&moved));
    server.reload();
    server.says("keeping the running spec").await;
    let same = async || {
        let answer = who(&server, "one", "one").await;
        answer.status == 200 && answer.json()["pid"] == first["pid"]
    };
    until("the app has its blocks where it knows them", same).await;
    until("the service is ready", async || server.client().get("/ready").await.status == 200).await;
    std::fs::remove_file(&file).expect("it is there");
    server.reload();
    until("two reaches one", async || who(&server, "two", "one").await.status == 200).await;
    assert_ne!(who(&server, "two", "one").await.json()["pid"], first["pid"]);
}
