//! Messages through `mainstay sidecar` while it and the app are killed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use mainstay_testkit::process::{Launch, PATIENCE, Server, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The app: writes down each event, then says that it has it.
const APP: &str = r#"
import http.server, json, os, sys

book = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(404)

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        os.write(book, f"{event['data']['key']} {event['data']['number']}\n".encode())
        self.answer(200)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
"#;

const FILES: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: bus }
spec: { type: pubsub.embedded, version: v1, metadata: [] }
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: events }
spec: { pubsubname: bus, topic: events, routes: { default: /events } }
";

/// Publishers, each with a key of its own.
const KEYS: usize = 8;
/// Kills of each of the two.
const KILLS: usize = 5;

struct Place {
    folder: tempfile::TempDir,
    app_port: u16,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::create_dir(folder.path().join("resources")).expect("a folder can be made in it");
        let mut file =
            std::fs::File::create(folder.path().join("resources/all.yaml")).expect("it can be written");
        file.write_all(FILES.as_bytes()).expect("it can be written");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let app_port = listener.local_addr().expect("a listener has an address").port();
        Self { folder, app_port }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn book(&self) -> PathBuf {
        self.path().join("book")
    }

    fn app(&self) -> Child {
        let mut command = Command::new("python3");
        command.args(["-c", APP, &self.app_port.to_string()]).arg(self.book());
        command.stdout(Stdio::null()).kill_on_drop(true).spawn().expect("python3 starts")
    }

    async fn sidecar(&self) -> Server {
        let words = ["sidecar", "--app-id=shop", "--resources-path=resources", "--dapr-http-port=0"];
        let port = format!("--app-port={}", self.app_port);
        Launch::new(self.path(), &words).word(port).word("--dapr-grpc-port=0").start().await
    }

    /// The numbers that the app wrote down for each key, in its order.
    fn seen(&self) -> BTreeMap<usize, Vec<u64>> {
        let book = std::fs::read_to_string(self.book()).unwrap_or_default();
        let mut seen: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for line in book.lines() {
            let (key, number) = line.split_once(' ').expect("a line has two words");
            let (key, number) = (key.parse().expect("a number"), number.parse().expect("a number"));
            seen.entry(key).or_default().push(number);
        }
        seen
    }
}

/// Publishes an event; whether it was acknowledged.
async fn publish(address: SocketAddr, key: usize, number: u64) -> bool {
    let body = format!(r#"{{"key":{key},"number":{number}}}"#);
    let request = format!(
        "POST /v1.0/publish/bus/events?metadata.partitionKey={key} HTTP/1.1\r\nhost: {address}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answered = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    matches!(answered, Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 204"))
}

/// Publishes numbers under a key, each until it is acknowledged. How many were.
async fn publish_all(mut address: watch::Receiver<SocketAddr>, key: usize, enough: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !enough.load(SeqCst) {
        let now = *address.borrow_and_update();
        if publish(now, key, number).await {
            number += 1;
        } else {
            // The next one has another address, or the same one answers again.
            let _ = tokio::time::timeout(Duration::from_millis(50), address.changed()).await;
        }
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_each_key_keeps_its_order_while_both_sides_are_killed() {
    let place = Place::new();
    let (mut app, mut sidecar) = (place.app(), place.sidecar().await);
    // A group that is new begins with what is published from then on.
    sidecar.says("dapr initialized. Status: Running.").await;
    let (tell, address) = watch::channel(sidecar.address());
    let enough = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for key in 0..KEYS {
        let (address, enough) = (address.clone(), Arc::clone(&enough));
        publishers.spawn(async move { (key, publish_all(address, key, enough).await) });
    }
    let written = || place.seen().values().map(Vec::len).sum::<usize>();
    for _ in 0..KILLS {
        until("events came", async || written() > 0).await;
        let before = written();
        until("more events came", async || written() > before + 50).await;
        sidecar.kill().await;
        sidecar = place.sidecar().await;
        tell.send_replace(sidecar.address());
        let before = written();
        until("events came after the runtime's end", async || written() > before + 50).await;
        app.kill().await.expect("the app can be killed");
        app = place.app();
    }
    enough.store(true, SeqCst);
    let acknowledged = publishers.join_all().await;
    assert!(acknowledged.iter().all(|(_, count)| *count > 0), "{acknowledged:?}");
    let is_there =
        |key: usize, count: u64| place.seen().get(&key).is_some_and(|seen| seen.contains(&(count - 1)));
    until("the last events came", async || acknowledged.iter().all(|(key, count)| is_there(*key, *count)))
        .await;
    for (key, mut numbers) in place.seen() {
        // A number can come again, after a kill: then it is the one before.
        numbers.dedup();
        let count = acknowledged.iter().find(|(of, _)| *of == key).expect("a key of ours").1;
        let whole: Vec<u64> = (0..u64::try_from(numbers.len()).expect("a length fits")).collect();
        assert_eq!(numbers, whole, "key {key}: a number is lost or out of order");
        assert!(whole.len() as u64 >= count, "key {key}");
    }
    drop(app);
}
