//! A new spec for a server at work: what changed is replaced without a call failing, what did not stays as it is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};

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
    server.says("replacing the app").await;
    let ups = || server.said().matches("\"message\":\"the app is up\"").count();
    assert_eq!(ups(), 2, "{}", server.said());
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

/// A vendor that refuses every call, and the keys that it was shown.
fn vendor() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    let (shown, keys) = sync_channel(64);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().filter_map(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0].to_ascii_lowercase());
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let key = head.lines().find_map(|line| line.strip_prefix("authorization: bearer "));
            let _ = shown.send(key.unwrap_or_default().to_owned());
            let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    (address, keys)
}

#[tokio::test]
async fn a_secret_whose_file_changed_is_read_again() {
    let (vendor, keys) = vendor();
    let place = Place::new(&format!(
        "name: e2e
providers:
  vendor: {{ openai: {{ base_url: \"http://{vendor}/v1\", api_key: \"file:key.txt\" }} }}
models:
  default: {{ targets: [vendor/any] }}
"
    ));
    let ask = json!({ "model": "default", "messages": [{ "role": "user", "content": "hi" }] });
    let write = |key: &str| std::fs::write(place.path().join("key.txt"), key).expect("it can be written");
    write("one");
    let server = place.serve().await;
    assert_eq!(server.client().post("/v1/chat/completions", &ask).await.status, 400);
    assert_eq!(keys.recv_timeout(PATIENCE).as_deref(), Ok("one"));
    write("two");
    server.reload();
    server.says("reloaded the spec").await;
    assert_eq!(server.client().post("/v1/chat/completions", &ask).await.status, 400);
    assert_eq!(keys.recv_timeout(PATIENCE).as_deref(), Ok("two"));
    std::fs::remove_file(place.path().join("key.txt")).expect("it is there");
    server.reload();
    server.says("keeping the running spec").await;
    assert_eq!(server.client().post("/v1/chat/completions", &ask).await.status, 400);
    assert_eq!(keys.recv_timeout(PATIENCE).as_deref(), Ok("two"));
}

#[tokio::test]
async fn a_provider_whose_file_changed_is_opened_again() {
    let place = Place::new(
        "name: e2e
providers:
  script: { scripted: { file: replies.json } }
models:
  default: { targets: [script/any] }
agents:
  hello:
    declared: { model: default, instructions: Answer. }
",
    );
    let write = |text: &str| {
        let replies = json!([{ "text": text }]).to_string();
        std::fs::write(place.path().join("replies.json"), replies).expect("it can be written");
    };
    write("the first");
    let server = place.serve().await;
    let answer = async || {
        let answer = server.client().post("/v1/agents/hello/invoke", &json!({ "query": "hi" })).await;
        answer.json()["answer"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(answer().await, "the first");
    write("the second one");
    server.reload();
    server.says("reloaded the spec").await;
    assert_eq!(answer().await, "the second one");
}

#[tokio::test]
async fn what_waits_for_a_restart_is_told_at_every_reload() {
    let spec = |server: &str| format!("name: e2e\nserver: {{ {server} }}\n");
    let place = Place::new(&spec("idle_timeout: 60s"));
    let server = place.serve().await;
    let told = |key: &str| server.said().matches(&format!("`{key}` changes with a restart only")).count();
    let reload = async |settings: &str, times: usize| {
        place.write(&spec(settings));
        server.reload();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while server.said().matches("reloaded the spec").count() < times {
            assert!(tokio::time::Instant::now() < deadline, "{}", server.said());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    for round in 1..=2 {
        reload("idle_timeout: 61s, connections_max: 99", round).await;
        assert_eq!((told("server.idle_timeout"), told("server.connections_max")), (round, round));
    }
    reload("idle_timeout: 60s, drain: 1s", 3).await;
    assert_eq!((told("server.idle_timeout"), told("server.drain")), (2, 0), "{}", server.said());
}

#[tokio::test]
async fn each_fault_of_a_reload_is_a_line_of_the_log() {
    let place = Place::scripted(&["{ text: Paris. }"]);
    let server = place.serve().await;
    place.write("name: e2e\nserver: { drian: 5s, body_bytes_max: x }\n");
    server.reload();
    server.says("keeping the running spec: the new one has 2 faults").await;
    let said = server.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let faults: Vec<Value> = lines.filter(|line| line["path"].is_string()).collect();
    let place = |fault: &Value| (fault["line"].as_u64(), fault["column"].as_u64(), fault["help"].is_string());
    assert_eq!(
        faults.iter().map(place).collect::<Vec<_>>(),
        [(Some(2), Some(11), true), (Some(2), Some(38), true)]
    );
    assert_eq!((&faults[0]["level"], &faults[0]["code"]), (&json!("ERROR"), &json!("CONFIG_UNKNOWN_KEY")));
}
