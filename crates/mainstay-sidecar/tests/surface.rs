//! The surface through its router, over stores in memory: statuses, headers and bodies as clients of the protocol check
//! them.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use mainstay_blocks::state::{Cipher, Key, Prefix, Rules, Store};
use mainstay_blocks::{App, Blocks, Summary, Table};
use mainstay_core::clock::ManualClock;
use mainstay_core::runtime_config::ApiRule;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Ctx, Redacted};
use mainstay_dapr::Apis;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_sidecar::{About, OwnApp, Parts, Phase, Rules as Said, Surface, Target, Targets};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct House {
    surface: Surface,
    clock: Arc<ManualClock>,
    shutdowns: Arc<AtomicUsize>,
}

impl House {
    async fn with(token: Option<&str>) -> Self {
        Self::beside(token, "http://127.0.0.1:1").await
    }

    /// Beside an app at this URL.
    async fn beside(token: Option<&str>, app_url: &str) -> Self {
        Self::over(token, app_url, None).await.0
    }

    /// Over a store whose values are encrypted; and the store.
    async fn encrypted(cipher: Cipher) -> (Self, Arc<dyn StateStore>) {
        Self::over(None, "http://127.0.0.1:1", Some(Arc::new(cipher))).await
    }

    async fn over(
        token: Option<&str>,
        app_url: &str,
        cipher: Option<Arc<Cipher>>,
    ) -> (Self, Arc<dyn StateStore>) {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let app = App { id: "shop".to_owned(), namespace: None };
        let rules = Rules { prefix: Prefix::of(None, "orders", &app), cipher, outbox: None };
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let port = mainstay_testkit::components::state_store(&as_clock).await;
        let summary = Summary {
            name: "orders".to_owned(),
            kind: "state.in-memory".to_owned(),
            version: "v1".to_owned(),
            capabilities: vec!["ETAG"],
        };
        let table = Table {
            stores: BTreeMap::from([("orders".to_owned(), Store::new(Arc::clone(&port), rules))]),
            summaries: vec![summary],
            ..Table::default()
        };
        let shutdowns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&shutdowns);
        let surface = Surface::new(Parts {
            blocks: Blocks::new(app, as_clock, table),
            api_token: token.map(|token| Redacted::new(token.to_owned())),
            body_bytes_max: 4 << 10,
            targets: Targets {
                app: Some(OwnApp::Requests(Target { base: app_url.to_owned(), ..Target::default() })),
                app_token: Some(Redacted::new("for-the-app".to_owned())),
                ..Targets::default()
            },
            client: Client::new(ClientOptions::default()),
            rules: Said {
                about: About { runtime_version: "1.18.3".to_owned(), ..About::default() },
                ..Said::default()
            },
            origins: None,
            shutdown: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
        });
        (Self { surface, clock, shutdowns }, port)
    }

    async fn new() -> Self {
        Self::with(None).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (parts, body) = self.surface.router().oneshot(request).await.unwrap().into_parts();
        (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn check(&self, method: &str, path: &str, body: &str, expect: (u16, &str)) {
        let (status, _, answer) = self.send(method, path, &[], body).await;
        assert_eq!((status, std::str::from_utf8(&answer).unwrap()), expect, "{method} {path}");
    }

    async fn check_fault(&self, method: &str, path: &str, body: &str, expect: (u16, &str)) {
        let (status, _, answer) = self.send(method, path, &[], body).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, answer["errorCode"].as_str().unwrap()), expect, "{method} {path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

const STATE: &str = "/v1.0/state/orders";

#[tokio::test]
async fn a_value_comes_back_byte_for_byte_with_its_etag() {
    let house = House::new().await;
    house.check("POST", STATE, r#"[{"key":"a","value":{"z":1, "a":1.50}},{"key":"b"}]"#, (204, "")).await;
    let (status, headers, body) = house.send("GET", "/v1.0/state/orders/a", &[], "").await;
    assert_eq!((status, &body[..]), (200, &br#"{"z":1, "a":1.50}"#[..]));
    assert_eq!(headers["content-type"], "application/json");
    let etag = headers["etag"].to_str().unwrap().to_owned();
    house.check("GET", "/v1.0/state/orders/b", "", (200, "null")).await;
    house.check("GET", "/v1.0/state/orders/missing", "", (204, "")).await;
    let stale = format!(r#"[{{"key":"a","value":2,"etag":"{}9"}}]"#, etag);
    house.check_fault("PUT", STATE, &stale, (409, "ERR_STATE_SAVE")).await;
    let fresh =
        format!(r#"[{{"key":"a","value":2,"etag":"{etag}","options":{{"concurrency":"first-write"}}}}]"#);
    house.check("POST", "//v1.0/state//orders/", &fresh, (204, "")).await;
    house.check("GET", "/v1.0/state/orders/a", "", (200, "2")).await;
}

#[tokio::test]
async fn a_delete_can_be_bound_to_an_etag() {
    let house = House::new().await;
    house.check("POST", STATE, r#"[{"key":"a b/c","value":1}]"#, (204, "")).await;
    let path = "/v1.0/state/orders/a%20b%2Fc";
    let etag = house.send("GET", path, &[], "").await.1["etag"].to_str().unwrap().to_owned();
    assert_eq!(house.send("DELETE", path, &[("if-match", "77")], "").await.0, 409);
    assert_eq!(house.send("DELETE", path, &[("if-match", "odd")], "").await.0, 400);
    assert_eq!(house.send("DELETE", path, &[("if-match", &etag)], "").await.0, 204);
    house.check("GET", path, "", (204, "")).await;
    house.check("DELETE", path, "", (204, "")).await;
}

#[tokio::test]
async fn a_value_lives_as_long_as_it_is_told() {
    let house = House::new().await;
    let set = r#"[{"key":"a","value":1,"metadata":{"ttlInSeconds":"60"}}]"#;
    house.check("POST", STATE, set, (204, "")).await;
    let (_, headers, _) = house.send("GET", "/v1.0/state/orders/a", &[], "").await;
    assert_eq!(headers["metadata.ttlExpireTime"], "2023-11-14T22:14:20Z");
    house.clock.advance(60_000);
    house.check("GET", "/v1.0/state/orders/a", "", (204, "")).await;
    // The query holds over the body.
    house.check("POST", "/v1.0/state/orders?metadata.ttlInSeconds=-1", set, (204, "")).await;
    house.clock.advance(60_000);
    house.check("GET", "/v1.0/state/orders/a", "", (200, "1")).await;
    let bad = r#"[{"key":"a","value":1,"metadata":{"ttlInSeconds":"soon"}}]"#;
    house.check_fault("POST", STATE, bad, (500, "ERR_STATE_SAVE")).await;
}

#[tokio::test]
async fn several_keys_are_read_at_once() {
    let house = House::new().await;
    house.check("POST", STATE, r#"[{"key":"a","value":{"n":1}},{"key":"b","value":"x"}]"#, (204, "")).await;
    let (status, _, body) =
        house.send("POST", "/v1.0/state/orders/bulk", &[], r#"{"keys":["b","no","a"]}"#).await;
    let mut items: Value = serde_json::from_slice(&body).unwrap();
    for item in items.as_array_mut().unwrap() {
        item.as_object_mut().unwrap().remove("etag");
    }
    let wanted = json!([{"key": "b", "data": "x"}, {"key": "no"}, {"key": "a", "data": {"n": 1}}]);
    assert_eq!((status, items), (200, wanted));
    house.check("POST", "/v1.0/state/orders/bulk", r#"{"keys":[]}"#, (200, "[]")).await;
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let house = House::new().await;
    let path = "/v1.0/state/orders/transaction";
    let good = r#"{"operations":[{"operation":"upsert","request":{"key":"a","value":1}},
        {"operation":"delete","request":{"key":"b"}}]}"#;
    house.check("POST", path, good, (204, "")).await;
    let stale = r#"{"operations":[{"operation":"upsert","request":{"key":"c","value":1}},
        {"operation":"upsert","request":{"key":"a","value":2,"etag":"999"}}]}"#;
    house.check_fault("POST", path, stale, (500, "ERR_STATE_TRANSACTION")).await;
    house.check("GET", "/v1.0/state/orders/c", "", (204, "")).await;
    let odd = r#"{"operations":[{"operation":"increment","request":{"key":"a"}}]}"#;
    house.check_fault("POST", path, odd, (400, "ERR_NOT_SUPPORTED_STATE_OPERATION")).await;
    house.check("POST", path, r#"{"operations":[]}"#, (204, "")).await;
    // What stands beside the operations is not an operation's.
    let beside = r#"{"operations":[{"operation":"upsert","request":{"key":"e","value":1}}],
        "metadata":{"ttlInSeconds":"1"}}"#;
    house.check("POST", path, beside, (204, "")).await;
    let (_, headers, _) = house.send("GET", "/v1.0/state/orders/e", &[], "").await;
    assert!(!headers.contains_key("metadata.ttlExpireTime"), "{headers:?}");
    // As the SDK for JavaScript sends what is not set.
    let nulls = r#"{"operations":[{"operation":"upsert","request":{"key":"d","value":1,"etag":null,"metadata":null,
        "options":null}}],"metadata":null}"#;
    house.check("POST", path, nulls, (204, "")).await;
    house.check("GET", "/v1.0/state/orders/d", "", (200, "1")).await;
}

#[tokio::test]
async fn an_encrypted_store_sees_no_value_and_the_app_no_encryption() {
    let key = Key::new("secret", &Redacted::new("0f".repeat(32))).unwrap();
    let (house, port) = House::encrypted(Cipher::new(key, None)).await;
    house.check("POST", STATE, r#"[{"key":"a","value":{"n": 1}}]"#, (204, "")).await;
    let transaction = r#"{"operations":[{"operation":"upsert","request":{"key":"b","value":"x"}}]}"#;
    house.check("POST", "/v1.0/state/orders/transaction", transaction, (204, "")).await;
    for key in ["shop||a", "shop||b"] {
        let stored = port.get(&Ctx::system(), key).await.unwrap().unwrap().value;
        assert!(stored.ends_with(b"||secret"), "{stored:?}");
    }
    house.check("GET", "/v1.0/state/orders/a", "", (200, r#"{"n": 1}"#)).await;
    let (_, _, bulk) = house.send("POST", "/v1.0/state/orders/bulk", &[], r#"{"keys":["a","b"]}"#).await;
    let bulk: Value = serde_json::from_slice(&bulk).unwrap();
    assert_eq!((&bulk[0]["data"], &bulk[1]["data"]), (&json!({"n": 1}), &json!("x")));
    let query = "/v1.0-alpha1/state/orders/query";
    house.check_fault("POST", query, "{}", (500, "ERR_STATE_STORE_NOT_SUPPORTED")).await;
    // What was written before there was a key is not given out as if it were a value.
    let plain = mainstay_core::state::Change::Set {
        key: "shop||c".to_owned(),
        value: "1".into(),
        format: mainstay_core::state::Format::Json,
        precondition: mainstay_core::state::Precondition::None,
        ttl: None,
    };
    port.apply(&Ctx::system(), plain).await.unwrap();
    house.check_fault("GET", "/v1.0/state/orders/c", "", (500, "ERR_STATE_GET")).await;
}

#[tokio::test]
async fn bad_requests_are_told_as_the_protocol_tells_them() {
    let house = House::new().await;
    house.check_fault("GET", "/v1.0/state/other/a", "", (400, "ERR_STATE_STORE_NOT_FOUND")).await;
    house.check_fault("POST", STATE, "{", (400, "ERR_MALFORMED_REQUEST")).await;
    house.check("POST", STATE, "null", (204, "")).await;
    // Whose store it is comes before what is asked of it.
    for path in ["other", "other/bulk", "other/transaction"] {
        let path = format!("/v1.0/state/{path}");
        house.check_fault("POST", &path, "{", (400, "ERR_STATE_STORE_NOT_FOUND")).await;
    }
    let options = r#"[{"key":"a","value":1,"options":{"concurrency":"none-wins"}}]"#;
    house.check_fault("POST", STATE, options, (500, "ERR_STATE_SAVE")).await;
    let options = r#"[{"key":"a","value":1,"options":{"consistency":"lax"}}]"#;
    house.check_fault("POST", STATE, options, (500, "ERR_STATE_SAVE")).await;
    let delete = "/v1.0/state/orders/a?consistency=lax";
    house.check_fault("DELETE", delete, "", (500, "ERR_STATE_DELETE")).await;
    house
        .check("DELETE", "/v1.0/state/orders/a?consistency=strong&concurrency=last-write", "", (204, ""))
        .await;
    house.check_fault("POST", STATE, r#"[{"value":1}]"#, (400, "ERR_MALFORMED_REQUEST")).await;
    house.check_fault("POST", STATE, r#"[{"key":"a||b","value":1}]"#, (400, "ERR_MALFORMED_REQUEST")).await;
    let query = "/v1.0-alpha1/state/orders/query";
    house.check_fault("POST", query, "{}", (500, "ERR_STATE_STORE_NOT_SUPPORTED")).await;
    house.check_fault("POST", query, "{", (500, "ERR_STATE_STORE_NOT_SUPPORTED")).await;
    house.check_fault("POST", "/v1.0/publish/bus/t", "x", (404, "ERR_PUBSUB_NOT_FOUND")).await;
    house.check_fault("GET", "/v1.0/secrets/vault/k", "", (500, "ERR_SECRET_STORES_NOT_CONFIGURED")).await;
    house.check_fault("GET", "/v1.0/nothing", "", (404, "ERR_DIRECT_INVOKE")).await;
    house.check_fault("PATCH", STATE, "", (405, "ERR_METHOD_NOT_FOUND")).await;
    let large = format!(r#"[{{"key":"a","value":"{}"}}]"#, "x".repeat(5_000));
    house.check_fault("POST", STATE, &large, (413, "ERR_BODY_TOO_LARGE")).await;
}

#[tokio::test]
async fn health_follows_the_start() {
    let house = House::with(Some("secret")).await;
    house.check_fault("GET", "/v1.0/healthz/outbound", "", (500, "ERR_OUTBOUND_HEALTH_NOT_READY")).await;
    house.surface.reach(Phase::Outbound);
    house.check("GET", "/v1.0/healthz/outbound", "", (204, "")).await;
    house.check_fault("GET", "/v1.0/healthz", "", (500, "ERR_HEALTH_NOT_READY")).await;
    house.surface.reach(Phase::Ready);
    house.check("GET", "/v1.0/healthz?appid=shop", "", (204, "")).await;
    house.check_fault("GET", "/v1.0/healthz?appid=else", "", (500, "ERR_HEALTH_APPID_NOT_MATCH")).await;
    house.surface.reach(Phase::Ending);
    house.check_fault("GET", "/v1.0/healthz/outbound", "", (500, "ERR_OUTBOUND_HEALTH_NOT_READY")).await;
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let house = House::with(Some("secret")).await;
    house.check("GET", "/v1.0/metadata", "", (401, "invalid api token")).await;
    house.check("POST", "/v1.0/shutdown", "", (401, "invalid api token")).await;
    assert_eq!(house.send("GET", "/v1.0/metadata", &[("dapr-api-token", "secre")], "").await.0, 401);
    assert_eq!(house.send("GET", "/v1.0/metadata", &[("dapr-api-token", "secret")], "").await.0, 200);
    assert_eq!(house.shutdowns.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_metadata_tells_what_is_open_and_what_the_app_says() {
    let house = House::new().await;
    house.check("PUT", "/v1.0/metadata/team", "blue", (204, "")).await;
    let (status, _, body) = house.send("GET", "/v1.0/metadata", &[], "").await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body["id"], &body["runtimeVersion"]), (200, &json!("shop"), &json!("1.18.3")));
    assert_eq!(body["extended"], json!({"daprRuntimeVersion": "1.18.3", "team": "blue"}));
    let component =
        json!([{"name": "orders", "type": "state.in-memory", "version": "v1", "capabilities": ["ETAG"]}]);
    assert_eq!(body["components"], component);
    house.check("POST", "/v1.0/shutdown", "", (204, "")).await;
    assert_eq!(house.shutdowns.load(Ordering::SeqCst), 1);
}

/// An app that answers one call, with what it was sent after its head, and gives that head.
async fn echo_once(listener: tokio::net::TcpListener, body_end: &'static str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(body_end.as_bytes()) {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    let text = String::from_utf8(seen).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let answer = format!("HTTP/1.1 418 Teapot\r\nx-app: 1\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    head.to_ascii_lowercase()
}

#[tokio::test]
async fn a_call_to_the_app_is_passed_on_and_its_answer_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::beside(None, &format!("http://{}", listener.local_addr().unwrap())).await;
    let app = tokio::spawn(echo_once(listener, "hello"));
    let headers = [("x-mine", "2"), ("dapr-caller-app-id", "liar"), ("host", "here")];
    let (status, headers, body) =
        house.send("PATCH", "/v1.0/invoke/shop/method/a/b?c=d", &headers, "hello").await;
    assert_eq!((status, &body[..], headers["x-app"].as_bytes()), (418, &b"hello"[..], &b"1"[..]));
    assert!(!headers.contains_key("connection"));
    let head = app.await.unwrap();
    assert!(head.starts_with("patch /a/b?c=d http/1.1\r\n"), "{head}");
    for part in ["x-mine: 2", "dapr-caller-app-id: shop", "dapr-api-token: for-the-app", "content-length: 5"]
    {
        assert!(head.contains(part), "`{part}` is missing:\n{head}");
    }
}

#[tokio::test]
async fn a_call_whose_length_is_not_known_streams() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::beside(None, &format!("http://{}", listener.local_addr().unwrap())).await;
    let app = tokio::spawn(echo_once(listener, "0\r\n\r\n"));
    let pieces = futures_util::stream::iter([
        Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"one"))),
        Ok(http_body::Frame::data(Bytes::from_static(b"two"))),
    ]);
    let request = Request::post("/anything").header("dapr-app-id", "shop");
    let request = request.body(http_body_util::StreamBody::new(pieces)).unwrap();
    let answer = house.surface.router().oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    assert!(app.await.unwrap().contains("transfer-encoding: chunked"));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_called_is_told() {
    let house = House::new().await;
    house.check_fault("GET", "/v1.0/invoke/nobody/method/x", "", (500, "ERR_DIRECT_INVOKE")).await;
    house.check_fault("GET", "/v1.0/invoke//method/x", "", (404, "ERR_DIRECT_INVOKE")).await;
    house.check_fault("GET", "/v1.0/invoke/shop/method/x", "", (500, "ERR_DIRECT_INVOKE")).await;
    house.check_fault("GET", "/v1.0/invoke/shop/method/../../x", "", (500, "ERR_DIRECT_INVOKE")).await;
}

#[tokio::test]
async fn new_rules_hold_for_the_calls_that_follow() {
    let house = House::new().await;
    house.check("GET", "/v1.0/state/orders/a", "", (204, "")).await;
    let rule = |name: &str| ApiRule {
        name: name.to_owned(),
        version: "v1.0".to_owned(),
        protocol: "http".to_owned(),
    };
    let target = Target { base: "http://127.0.0.1:1".to_owned(), ..Target::default() };
    house.surface.adopt(Said {
        apis: Apis::of("http", &[], &[rule("state"), rule("invoke")]),
        endpoints: BTreeMap::from([("api".to_owned(), target)]),
        about: About { http_endpoints: vec!["api".to_owned()], ..About::default() },
        ..Said::default()
    });
    house.check_fault("GET", "/v1.0/state/orders/a", "", (404, "ERR_DIRECT_INVOKE")).await;
    house.check_fault("GET", "/v1.0/invoke/api/method/x", "", (404, "ERR_DIRECT_INVOKE")).await;
    let (_, _, body) = house.send("GET", "/v1.0/metadata", &[], "").await;
    let metadata: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(metadata["httpEndpoints"], json!([{"name": "api"}]));
    house.surface.adopt(Said::default());
    house.check("GET", "/v1.0/state/orders/a", "", (204, "")).await;
}
