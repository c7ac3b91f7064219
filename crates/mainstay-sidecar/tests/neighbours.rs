//! Calls between two surfaces over a socket: what passes, in both directions, and what the callee keeps out.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use mainstay_blocks::access::Access;
use mainstay_blocks::door::Door;
use mainstay_blocks::{App, Blocks, Table};
use mainstay_core::clock::ManualClock;
use mainstay_core::methods::{AppMethods, CallStatus, MethodAnswer, MethodCall};
use mainstay_core::runtime_config::{AccessControl, AccessPolicy, Action, Operation};
use mainstay_core::{Ctx, Redacted};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::server::{ServeOptions, serve};
use mainstay_net::sockets::Sockets;
use mainstay_sidecar::{Neighbours, OwnApp, Parts, Rules, Surface, Target, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

fn surface(id: &str, targets: Targets, rules: Rules) -> Surface {
    let app = App { id: id.to_owned(), namespace: None };
    Surface::new(Parts {
        blocks: Blocks::new(app, Arc::new(ManualClock::at(1)), Table::default()),
        api_token: None,
        body_bytes_max: 4 << 10,
        targets,
        client: Client::new(ClientOptions::default()),
        rules,
        origins: None,
        shutdown: Arc::new(|_| ()),
    })
}

fn pair(targets: Targets) -> (Surface, (tempfile::TempDir, DropGuard)) {
    pair_with(targets, Rules::default())
}

/// `shop`, which only calls, and `bank`, which listens; the rest is gone when the guards are dropped.
fn pair_with(targets: Targets, rules: Rules) -> (Surface, (tempfile::TempDir, DropGuard)) {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    let long = Duration::from_secs(60);
    let options = ServeOptions {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        connections_max: 8,
        close_timeout: long,
    };
    let stop = CancellationToken::new();
    let socket = sockets.listen("default.bank").unwrap();
    tokio::spawn(serve(socket, surface("bank", targets, rules).inbound(), options, stop.clone()));
    let neighbours = Some(Neighbours::new(sockets));
    (
        surface("shop", Targets { neighbours, ..Targets::default() }, Rules::default()),
        (folder, stop.drop_guard()),
    )
}

async fn post(surface: &Surface, path: &str) -> (u16, serde_json::Value) {
    let request = Request::post(path).header("content-type", "text/plain");
    let request = request.body(Full::new(Bytes::from_static(b"hi"))).unwrap();
    let answer = surface.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(serde_json::Value::Null))
}

#[tokio::test]
async fn both_bodies_come_while_they_are_made() {
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", app.local_addr().unwrap());
    let targets = Targets {
        app: Some(OwnApp::Requests(Target { base, ..Target::default() })),
        app_token: Some(Redacted::new("for-the-bank".to_owned())),
        door: Door::new(1, true),
        ..Targets::default()
    };
    let (shop, _guards) = pair(targets);
    let (pieces, body) = tokio::sync::mpsc::channel::<&'static [u8]>(1);
    let body = stream::unfold(body, |mut body| async move {
        let piece = body.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(piece))), body))
    });
    let request = Request::post("/v1.0/invoke/bank/method/stream").header("dapr-caller-app-id", "liar");
    let request = request.body(StreamBody::new(Box::pin(body))).unwrap();
    let asking = tokio::spawn(shop.router().oneshot(request));
    // The app answers when it has the first piece, and goes on while more come.
    pieces.send(b"one").await.unwrap();
    let (mut app, _) = app.accept().await.unwrap();
    let mut seen = Vec::new();
    let read_until = async |app: &mut tokio::net::TcpStream, seen: &mut Vec<u8>, text: &str| {
        while !String::from_utf8_lossy(seen).contains(text) {
            assert!(app.read_buf(seen).await.unwrap() > 0);
        }
    };
    read_until(&mut app, &mut seen, "one").await;
    app.write_all(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nmainstay-call-code: 5\r\n\r\n2\r\n1.\r\n",
    )
    .await
    .unwrap();
    let answer = asking.await.unwrap().unwrap();
    assert!(!answer.headers().contains_key("mainstay-call-code"));
    let mut answered = answer.into_body().into_data_stream();
    assert_eq!(answered.next().await.unwrap().unwrap(), "1.");
    // Whoever reads the answer moves the request: a server that has a connection to write to does so all the time.
    let turn = async {
        pieces.send(b"two").await.unwrap();
        read_until(&mut app, &mut seen, "two").await;
        app.write_all(b"2\r\n2.\r\n0\r\n\r\n").await.unwrap();
    };
    let (second, ()) = tokio::join!(answered.next(), turn);
    assert_eq!(second.unwrap().unwrap(), "2.");
    drop(pieces);
    let head = String::from_utf8(seen).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /stream http/1.1\r\n"), "{head}");
    for part in [
        "dapr-caller-app-id: shop",
        "dapr-caller-namespace: default",
        "dapr-callee-app-id: bank",
        "dapr-api-token: for-the-bank",
    ] {
        assert!(head.contains(part), "`{part}` is missing:\n{head}");
    }
    assert!(!head.contains("mainstay-"), "{head}");
}

/// An app whose method `fails` fails.
struct Methods;

#[async_trait]
impl AppMethods for Methods {
    async fn call(&self, _: &Ctx, call: MethodCall) -> mainstay_core::Result<MethodAnswer> {
        let status = CallStatus { code: 9, message: "not now".to_owned(), details: Bytes::from_static(b"d") };
        let status = if call.method == "fails" { status } else { CallStatus::default() };
        let data = Bytes::from(format!("\"{} {} {}\"", call.verb, call.method, call.type_url));
        Ok(MethodAnswer { status, data, ..MethodAnswer::default() })
    }
}

#[tokio::test]
async fn a_code_survives_the_way_and_is_a_status_to_whoever_speaks_http() {
    let (shop, _guards) =
        pair(Targets { app: Some(OwnApp::Methods(Arc::new(Methods))), ..Targets::default() });
    let answer = post(&shop, "/v1.0/invoke/bank/method/a/b").await;
    assert_eq!(answer, (200, serde_json::json!("POST a/b ")));
    let answer = post(&shop, "/v1.0/invoke/bank/method/fails").await;
    assert_eq!(answer, (400, serde_json::json!({"code": 9, "message": "not now"})));
    let message = |method: &str| {
        let request = Request::post(format!("/v1.0/invoke/bank/method/{method}"));
        request.header("mainstay-type-url", "t/x").body(Bytes::new()).unwrap()
    };
    let answer = shop.invoke(message("fails")).await;
    let told = answer.extensions().get::<CallStatus>().unwrap();
    assert_eq!((told.code, told.message.as_str(), &*told.details), (9, "not now", &b"d"[..]));
    assert_eq!(shop.invoke(message("a")).await.into_body(), "\"POST a t/x\"");
    let nobody = shop.invoke(Request::post("/v1.0/invoke/nobody/method/x").body(Bytes::new()).unwrap()).await;
    assert_eq!(nobody.extensions().get::<CallStatus>().unwrap().code, 13);
}

#[tokio::test]
async fn the_callee_decides_who_is_let_in_and_when() {
    let operation =
        Operation { path: "/open".to_owned(), methods: vec!["GET".to_owned()], action: Action::Allow };
    let policy = AccessPolicy {
        app: "shop".to_owned(),
        default: None,
        trust_domain: "public".to_owned(),
        namespace: "default".to_owned(),
        operations: vec![operation],
    };
    let control = AccessControl { default: Action::Deny, policies: vec![policy], ..AccessControl::default() };
    let access = Access::new(Some(control));
    let app =
        || Some(OwnApp::Requests(Target { base: "http://127.0.0.1:1".to_owned(), ..Target::default() }));
    let (shop, _guards) =
        pair_with(Targets { app: app(), ..Targets::default() }, Rules { access, ..Rules::default() });
    let (status, body) = post(&shop, "/v1.0/invoke/bank/method/open").await;
    assert_eq!((status, body["errorCode"].as_str()), (403, Some("ERR_DIRECT_INVOKE")));
    assert!(body["message"].as_str().unwrap().contains("access control policy has denied access"), "{body}");
    let (shop, _guards) = pair(Targets { app: app(), door: Door::new(0, false), ..Targets::default() });
    let (status, body) = post(&shop, "/v1.0/invoke/bank/method/open").await;
    assert_eq!(status, 500);
    assert!(body["message"].as_str().unwrap().contains("app is not in a healthy state"), "{body}");
}
