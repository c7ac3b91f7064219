//! Apps that are no agents: requests below their routes, through the public port to the app and back.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use http::{Method, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use mainstay_e2e::Place;
use mainstay_testkit::loopback::{self, Answer, Loopback};
use mainstay_testkit::process::{Client, PATIENCE, Server, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

const KEY: &str = "the key of the web";

/// What an app does with a request, by the last segment of its path.
async fn act(request: loopback::Request, go: Arc<Notify>) -> Answer {
    let (parts, body) = request.into_parts();
    match parts.uri.path().rsplit('/').next().unwrap_or_default() {
        "health" => loopback::whole(200, "text/plain", "ok"),
        "missing" => {
            let mut answer =
                loopback::whole(404, "application/problem+json", "{\"detail\":\"no such task\"}");
            if parts.method == Method::HEAD {
                answer.headers_mut().insert("content-length", 25.into());
            }
            answer.headers_mut().insert("x-mine", "kept".parse().expect("a value"));
            answer.headers_mut().insert("access-control-allow-origin", "*".parse().expect("a value"));
            answer
        }
        "refused" => loopback::whole(405, "text/plain", "not so"),
        // Piece by piece, as they come.
        "echo" => {
            let pieces = body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
            loopback::pieces(200, "application/octet-stream", pieces)
        }
        "events" => {
            let events = futures_util::stream::once(async { Ok(Bytes::from_static(b"data: 1\n\n")) }).chain(
                futures_util::stream::once(async move {
                    go.notified().await;
                    Ok(Bytes::from_static(b"data: 2\n\n"))
                }),
            );
            loopback::pieces(200, "text/event-stream", events)
        }
        "cut" => {
            let half = futures_util::stream::once(async { Ok(Bytes::from_static(b"half")) });
            let cut = futures_util::stream::once(async move {
                go.notified().await;
                Err(std::io::Error::other("the test's cut"))
            });
            loopback::pieces(200, "text/plain", half.chain(cut))
        }
        "hang" => std::future::pending().await,
        _ => {
            let read = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let headers: Vec<(String, String)> = parts
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            let seen = json!({
                "method": parts.method.as_str(), "target": parts.uri.to_string(), "headers": headers,
                "bytes": read.len(),
            });
            loopback::whole(200, "application/json", seen.to_string())
        }
    }
}

struct House {
    _app: Loopback,
    _place: Place,
    server: Server,
    /// Lets the app's events go on.
    go: Arc<Notify>,
}

impl House {
    /// A service with one app that opens `/tasks`; `more` goes into the spec.
    async fn open(more: &str) -> Self {
        let go = Arc::new(Notify::new());
        let goes = Arc::clone(&go);
        let app = Loopback::serve(Arc::new(move |request| Box::pin(act(request, Arc::clone(&goes))))).await;
        let place = Place::new(&format!(
            "name: e2e\napps:\n  tasks: {{ url: \"{}\", routes: [/tasks] }}\n{more}\n",
            app.url()
        ));
        let server = serve(&place).await;
        Self { _app: app, _place: place, server, go }
    }

    async fn keyed(more: &str) -> Self {
        let keys = format!("access: {{ keys: [{{ name: web, key: \"env:WEB_KEY\"{more} }}] }}");
        Self::open(&keys).await
    }

    /// Opens a request whose body comes from a channel; the answer's head.
    async fn exchange(&self, method: Method, path: &str) -> (mpsc::Sender<Bytes>, http::Response<Incoming>) {
        let (tell, pieces) = mpsc::channel::<Bytes>(4);
        let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|piece| (Ok::<_, std::io::Error>(Frame::data(piece)), pieces))
        });
        let body: StreamBody<BoxStream<'static, _>> = StreamBody::new(pieces.boxed());
        let request =
            Request::builder().method(method).uri(path).header("host", self.server.address().to_string());
        let request = request.body(body).expect("it is well formed");
        let socket = TcpStream::connect(self.server.address()).await.expect("the server accepts");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("it works");
        tokio::spawn(connection);
        tell.send(Bytes::from_static(b"first")).await.expect("it is taken");
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("in time");
        (tell, answer.expect("it is answered"))
    }
}

async fn serve(place: &Place) -> Server {
    let runtime = place.path().join("runtime").display().to_string();
    let words = ["serve", ".", "--listen", "127.0.0.1:0"];
    place.command(&words).variable("MAINSTAY_RUNTIME_FOLDER", &runtime).variable("WEB_KEY", KEY).start().await
}

/// The next piece of an answer, as text.
async fn piece(body: &mut Incoming) -> Option<String> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("it comes in time")?;
    let data = frame.expect("it is whole").into_data().expect("it is data");
    Some(String::from_utf8_lossy(&data).into_owned())
}

/// What is answered to a request that is sent as it stands here.
async fn raw(server: &Server, request: &str) -> String {
    let mut socket = TcpStream::connect(server.address()).await.expect("the server accepts");
    socket.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("it ends in time").expect("it can be read");
    String::from_utf8_lossy(&answer).into_owned()
}

fn header<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = seen["headers"].as_array().expect("the app tells its headers");
    headers.iter().filter(|header| header[0] == name).filter_map(|header| header[1].as_str()).collect()
}

#[tokio::test]
async fn a_request_reaches_the_app_as_it_came_and_its_answer_comes_back_so() {
    let house = House::open("").await;
    let client = house.server.client();
    let seen = client.send(client.request(Method::PATCH, "/tasks/a%20b/c?x=1&y=%2f", "12345".into())).await;
    let seen = seen.json();
    assert_eq!((&seen["method"], &seen["target"]), (&json!("PATCH"), &json!("/tasks/a%20b/c?x=1&y=%2f")));
    assert_eq!((&seen["bytes"], header(&seen, "content-length")), (&json!(5), vec!["5"]));
    let missing = client.get("/tasks/missing").await;
    assert_eq!((missing.status, missing.json()), (404, json!({"detail": "no such task"})));
    assert_eq!(missing.header("x-mine"), Some("kept"));
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    assert!(missing.header("x-request-id").is_some() && missing.header("x-frame-options").is_none());
    assert_eq!(missing.header("access-control-allow-origin"), None, "who may call from a page is the spec's");
    assert_eq!(client.get("/tasks/refused").await.status, 405);
    assert_eq!(client.get("/tasks7").await.status, 404);
    let head = client.send(client.request(Method::HEAD, "/tasks/missing", Bytes::new())).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (404, Some("25"), 0));
}

#[tokio::test]
async fn a_key_opens_the_route_and_stays_behind() {
    let house = House::keyed("").await;
    let client = house.server.client();
    let refused = client.get("/tasks/1").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (401, Some("UNAUTHENTICATED")));
    assert_eq!(client.clone().with_key("another").get("/tasks/1").await.status, 401);
    let claims = [
        ("x-mainstay-key", "root"),
        ("x_mainstay_key", "root"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=10.0.0.1"),
        ("dapr-caller-app-id", "bank"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-api-key", "the app's own"),
        ("x-request-id", "abc-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let keyed = client.clone().with_key(KEY);
    let mut request = keyed.request(Method::GET, "/tasks/1", Bytes::new());
    for (name, value) in claims {
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    let answer = keyed.send(request).await;
    let seen = answer.json();
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    assert!(!seen.to_string().contains(KEY), "{seen}");
    for (name, values) in [
        ("authorization", vec![]),
        ("x-mainstay-key", vec!["web"]),
        ("x_mainstay_key", vec![]),
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-forwarded-proto", vec!["http"]),
        ("dapr-caller-app-id", vec![]),
        ("x-hop", vec![]),
        ("te", vec![]),
        ("x-api-key", vec!["the app's own"]),
        ("x-request-id", vec!["abc-1"]),
        ("traceparent", vec![claims[11].1]),
    ] {
        assert_eq!(header(&seen, name), values, "{name}: {seen}");
    }
    let host = house.server.address().to_string();
    assert_eq!(header(&seen, "x-forwarded-host"), [&host]);
    assert_eq!(header(&seen, "forwarded"), [format!("for=127.0.0.1;host=\"{host}\"")]);
    assert_ne!(header(&seen, "host"), [&host], "the app is addressed as itself");
}

#[tokio::test]
async fn a_keys_rate_counts_requests_to_apps() {
    let house = House::keyed(", requests_per_minute: 2").await;
    let client = house.server.client().with_key(KEY);
    let answers = [client.get("/tasks/1").await, client.get("/tasks/1").await, client.get("/tasks/1").await];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 429]);
    assert_eq!(answers[0].header("x-ratelimit-remaining-requests"), Some("1"));
    assert!(answers[2].header("retry-after").is_some());
}

#[tokio::test]
async fn bodies_are_bounded_however_they_are_framed_and_time_is_too() {
    let house = House::open("server: { body_bytes_max: 1KiB, request_timeout: 1s, body_timeout: 1s }").await;
    let client = house.server.client();
    let large = Bytes::from(vec![b'x'; 2048]);
    let refused = client.send(client.request(Method::POST, "/tasks/1", large)).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = format!(
        "POST /tasks/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert!(raw(&house.server, &chunked).await.starts_with("HTTP/1.1 413 "));
    let slow =
        "POST /tasks/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 9\r\n\r\nslow";
    let slow = raw(&house.server, slow).await;
    assert!(slow.starts_with("HTTP/1.1 408 ") || slow.starts_with("HTTP/1.1 504 "), "{slow}");
    let late = client.get("/tasks/hang").await;
    assert_eq!((late.status, late.json()["error"]["code"].as_str()), (504, Some("DEADLINE_EXCEEDED")));
}

#[tokio::test]
async fn both_bodies_go_through_piece_by_piece() {
    let house = House::open("").await;
    let (tell, answer) = house.exchange(Method::POST, "/tasks/echo").await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    assert_eq!(piece(&mut body).await.as_deref(), Some("first"));
    tell.send(Bytes::from_static(b"second")).await.expect("it is taken");
    assert_eq!(piece(&mut body).await.as_deref(), Some("second"));
    drop(tell);
    assert_eq!(piece(&mut body).await, None);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_and_not_ended() {
    let house = House::open("").await;
    let (_tell, answer) = house.exchange(Method::POST, "/tasks/cut").await;
    let mut body = answer.into_body();
    assert_eq!(piece(&mut body).await.as_deref(), Some("half"));
    house.go.notify_one();
    let end = tokio::time::timeout(PATIENCE, body.frame()).await.expect("it ends in time");
    assert!(end.is_some_and(|frame| frame.is_err()), "half an answer was taken for a whole one");
    house.server.says("an app's answer was cut").await;
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_and_other_protocols_are_refused() {
    let house = House::open("").await;
    for path in
        ["/tasks/%2e%2e/v1/agents", "//tasks", "/tasks//1", "/tasks/a%2fb", "/tasks/..;/x", "/tasks/%00"]
    {
        let answer = raw(
            &house.server,
            &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("INVALID_REQUEST"),
            "{path}: {answer}"
        );
    }
    let client = house.server.client();
    let mut request = client.request(Method::GET, "/tasks/1", Bytes::new());
    request.headers_mut().insert("upgrade", "websocket".parse().expect("a value"));
    let answer = client.send(request).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (422, Some("UNSUPPORTED")));
    let trace = client.send(client.request(Method::TRACE, "/tasks/1", Bytes::new())).await;
    assert_eq!(trace.status, 405);
    assert!(trace.header("allow").is_some_and(|allow| allow.contains("PATCH")));
}

#[tokio::test]
async fn a_stream_of_an_app_is_drained_and_new_requests_are_refused_meanwhile() {
    let mut house = House::open("server: { drain: 20s }").await;
    let mut events = house.server.client().resume("/tasks/events", None).await;
    assert_eq!(events.next().await.map(|event| event.data).as_deref(), Some("1"));
    house.server.terminate();
    house.server.says("draining").await;
    let refused = house.server.client().get("/tasks/1").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("DRAINING")));
    house.go.notify_one();
    assert_eq!(events.next().await.map(|event| event.data).as_deref(), Some("2"));
    assert_eq!(events.next().await, None);
    assert_eq!(house.server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn metrics_call_requests_to_apps_by_their_route() {
    let house = House::open("").await;
    let client = house.server.client();
    client.get("/tasks/secret-id").await;
    let shows = async || {
        let metrics = client.get("/metrics").await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        assert!(!metrics.contains("secret-id"));
        metrics.contains("route=\"/tasks\"")
    };
    until("the metrics show the route", shows).await;
    let document = client.get("/openapi.json").await.json();
    assert_eq!(document["x-mainstay-apps"][0]["routes"], json!(["/tasks"]));
}

/// An app of the standard library that answers with its process id and what it was told.
const PID_APP: &str = r#"
import http.server, json, os, sys

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = json.dumps({"pid": os.getpid(), "path": self.path, "id": os.environ.get("APP_ID")}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
"#;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// A folder with an app that is started, and its spec with these routes.
fn started() -> (Place, impl Fn(&str) -> String) {
    let port = free_port();
    let spec = move |routes: &str| {
        format!(
            "name: e2e\napps:\n  one: {{ url: \"http://127.0.0.1:{port}\", command: \"exec python3 app.py {port}\", routes: {routes} }}\n"
        )
    };
    let place = Place::new(&spec("[/one]"));
    std::fs::write(place.path().join("app.py"), PID_APP).expect("a file can be written");
    (place, spec)
}

async fn pid(client: &Client, path: &str) -> Option<i32> {
    let answer = client.get(path).await;
    (answer.status == 200).then(|| answer.json()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()))?
}

#[tokio::test]
async fn an_app_that_was_killed_is_missed_and_then_there_again() {
    let (place, _) = started();
    let server = serve(&place).await;
    let client = server.client();
    until("the service is ready", async || client.get("/ready").await.status == 200).await;
    let first = pid(&client, "/one").await.expect("it answers");
    kill(first);
    let missed = async || {
        let answer = client.get("/one").await;
        let is_missing = answer.status == 503 && answer.json()["error"]["code"] == "APP_UNAVAILABLE";
        assert!(!is_missing || answer.header("retry-after").is_some());
        is_missing || answer.status == 200
    };
    until("it is missed, or there again", missed).await;
    let again = async || pid(&client, "/one").await.is_some_and(|second| second != first);
    until("another process answers", again).await;
    until("the service is ready again", async || client.get("/ready").await.status == 200).await;
}

/// Kills a process on the spot.
fn kill(id: i32) {
    let killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
    assert!(killed.expect("there is a `kill`").success());
}

#[tokio::test]
async fn a_route_that_changes_leads_to_the_same_process() {
    let (place, spec) = started();
    let server = serve(&place).await;
    let client = server.client();
    until("the service is ready", async || client.get("/ready").await.status == 200).await;
    let first = pid(&client, "/one").await.expect("it answers");
    place.write(&spec("[/two]"));
    server.reload();
    until("the new route is there", async || pid(&client, "/two").await == Some(first)).await;
    assert_eq!(client.get("/one").await.status, 404);
    place.write(&spec("[/v1]"));
    server.reload();
    server.says("`/v1` is a path of the service itself").await;
    assert_eq!(pid(&client, "/two").await, Some(first), "a spec with a fault changes nothing");
}
