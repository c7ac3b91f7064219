//! A new spec for a server at work: what changed is replaced without a call failing, what did not stays as it is.

use mainstay_e2e::Place;
use mainstay_testkit::process::{PATIENCE, Server};
use serde_json::{Value, json};

/// An app that answers with its process id and its variable.
const APP: &str = r#"
import http.server, json, os, sys

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer({"answer": json.dumps({"pid": os.getpid(), "tag": os.environ["TAG"]})})

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
"#;

/// A spec with that app at `port`.
fn spec(port: u16, tag: &str, description: &str) -> String {
    format!(
        "name: e2e
agents:
  a:
    description: {description}
    app:
      command: exec python3 app.py {port}
      url: http://127.0.0.1:{port}
      env: {{ TAG: {tag} }}
"
    )
}

/// What the app says of itself. Panics when the call fails.
async fn facts(server: &Server) -> Value {
    let answer = server.client().post("/v1/agents/a/invoke", &json!({ "query": "who" })).await;
    assert_eq!(answer.status, 200, "{answer:?}\n{}", server.said());
    let run = answer.json();
    assert_eq!(run["status"], "completed", "{run}");
    serde_json::from_str(run["answer"].as_str().unwrap_or_default()).expect("the app answers in JSON")
}

async fn start() -> (Place, u16, Server) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    drop(listener);
    let place = Place::new(&spec(port, "one", "first"));
    std::fs::write(place.path().join("app.py"), APP).expect("the folder can be written");
    let server = place.serve().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while server.client().get("/ready").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the app does not come up:\n{}", server.said());
    }
    (place, port, server)
}

#[tokio::test]
async fn an_app_is_replaced_without_a_call_failing() {
    let (place, port, server) = start().await;
    let first = facts(&server).await;
    assert_eq!(first["tag"], "one");
    place.write(&spec(port, "two", "first"));
    server.reload();
    let until_new = async || {
        while facts(&server).await["tag"] != "two" {}
        // The process that answers stays the one that answers.
        let second = facts(&server).await;
        assert_eq!(second["tag"], "two");
        second["pid"].clone()
    };
    let (second, same) = tokio::join!(until_new(), until_new());
    assert_eq!(second, same);
    assert_ne!(second, first["pid"]);
    assert!(!server.said().contains("next start in"), "the new process failed at first:\n{}", server.said());
}

#[tokio::test]
async fn an_app_whose_settings_did_not_change_is_not_restarted() {
    let (place, port, server) = start().await;
    let first = facts(&server).await;
    place.write(&spec(port, "one", "second"));
    server.reload();
    server.says("reloaded the spec").await;
    let agents = server.client().get("/v1/agents").await;
    assert!(String::from_utf8_lossy(&agents.body).contains("second"), "{agents:?}");
    assert_eq!(facts(&server).await, first);
}
