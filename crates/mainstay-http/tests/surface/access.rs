//! Access as callers meet it: keys, their bounds, and browsers' rules.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use http::{Request, StatusCode};
use mainstay_core::Redacted;
use mainstay_core::plan::Anonymous;
use mainstay_core::telemetry::Gauge;
use mainstay_http::{Key, Settings};
use mainstay_net::server::Peer;
use serde_json::json;

use crate::house::{Body, House, empty, name, post, settings, with};
use crate::scripted::Script;

fn keyed(keys: &[(&str, &str)]) -> Settings {
    let key = |(key_name, secret): &(&str, &str)| Key {
        name: name(key_name),
        secret: Redacted::new((*secret).to_owned()),
        requests_per_minute: None,
        concurrency: None,
    };
    let mut settings = settings();
    settings.access.keys = keys.iter().map(key).collect();
    settings
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(empty()).unwrap()
}

fn bearer(request: Request<Body>, secret: &str) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {secret}"))
}

#[tokio::test]
async fn with_keys_configured_only_a_key_opens() {
    let house = House::with(keyed(&[("web", "s3cret")]));
    let answer = house.get("/v1/agents").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "UNAUTHENTICATED"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(house.send(bearer(get("/v1/agents"), "wrong")).await.status, 401);
    assert_eq!(house.send(bearer(get("/v1/agents"), "s3cret")).await.status, 200);
    assert_eq!(house.send(with(get("/v1/agents"), "x-api-key", "s3cret")).await.status, 200);
    assert_eq!(house.get("/metrics").await.status, 401);
}

#[tokio::test]
async fn whoever_has_no_leave_takes_no_place() {
    let mut tight = keyed(&[("web", "s3cret")]);
    tight.server.requests_max = 1;
    let house = House::with(tight);
    // Their answers are never read.
    let refused = house.open(get("/v1/agents")).await;
    let page = house.open(get("/docs")).await;
    assert_eq!((refused.status(), page.status()), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    assert_eq!(house.surface.in_flight(), 0);
    // Nor does a whole answer that its caller does not read: it is made.
    let unread = house.open(bearer(get("/v1/agents"), "s3cret")).await;
    assert_eq!(unread.status(), 200);
    assert_eq!(house.send(bearer(get("/v1/agents"), "s3cret")).await.status, 200);
}

#[tokio::test]
async fn health_and_documents_need_no_key() {
    let house = House::with(keyed(&[("web", "s3cret")]));
    for path in
        ["/health", "/health/live", "/ready", "/health/ready", "/", "/docs", "/openapi.json", "/docs/errors"]
    {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_keys_only_this_machine_may_call() {
    let house = House::new();
    let from = |ip: [u8; 4]| {
        let mut request = get("/v1/agents");
        request.extensions_mut().insert(Peer(SocketAddr::from((ip, 1))));
        request
    };
    assert_eq!(house.send(from([127, 0, 0, 1])).await.status, 200);
    assert_eq!(house.send(from([192, 168, 1, 5])).await.status, 401);
    let mut open = settings();
    open.access.anonymous = Anonymous::Anyone;
    assert_eq!(House::with(open).send(from([192, 168, 1, 5])).await.status, 200);
}

#[tokio::test]
async fn a_key_sees_its_own_runs_alone() {
    let house = House::with(keyed(&[("a", "key-a"), ("b", "key-b")]));
    let asked = bearer(post("/v1/agents/echo/invoke", json!({"query": "hi", "session_id": "s1"})), "key-a");
    let run = house.send(asked).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}");
    assert_eq!(house.send(bearer(get(&path), "key-a")).await.status, 200);
    assert_eq!(house.send(bearer(get(&path), "key-b")).await.code(), "RUN_NOT_FOUND");
    assert_eq!(house.send(bearer(get("/v1/sessions/s1"), "key-b")).await.code(), "SESSION_NOT_FOUND");
    assert_eq!(house.send(bearer(get("/v1/runs"), "key-b")).await.json()["runs"], json!([]));
    let intrusion = post("/v1/agents/echo/invoke", json!({"query": "hi", "session_id": "s1"}));
    let answer = house.send(bearer(intrusion, "key-b")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn a_keys_rate_is_shown_and_enforced() {
    let mut settings = keyed(&[("web", "s")]);
    settings.access.keys[0].requests_per_minute = NonZeroU32::new(2);
    let house = House::with(settings.clone());
    let call = async || house.send(bearer(get("/v1/agents"), "s")).await;
    assert_eq!(call().await.header("x-ratelimit-remaining-requests"), Some("1"));
    // A reload in between gives nothing back.
    house.surface.reload(settings, Vec::new());
    assert_eq!(call().await.header("x-ratelimit-remaining-requests"), Some("0"));
    let refused = call().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "RATE_LIMITED"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((20..=30).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(house.ledger.refusals(), ["rate"]);
}

#[tokio::test]
async fn a_keys_seat_is_taken_until_its_answer_ends() {
    let mut settings = keyed(&[("web", "s")]);
    settings.access.keys[0].concurrency = NonZeroU32::new(1);
    let house = House::with(settings);
    house.next(Script::Stall("a"));
    let stream = house.open(bearer(post("/v1/agents/leaving/stream", json!({"query": "hi"})), "s")).await;
    assert_eq!(house.ledger.gauge_of(Gauge::StreamsOpen).0, 1);
    let refused = house.send(bearer(get("/v1/agents"), "s")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "CONCURRENCY_LIMITED"));
    assert!(refused.header("retry-after").is_some());
    drop(stream);
    assert_eq!(house.send(bearer(get("/v1/agents"), "s")).await.status, 200);
    assert_eq!(house.ledger.gauge_of(Gauge::StreamsOpen).0, 0);
}

#[tokio::test]
async fn new_keys_hold_after_a_reload() {
    let house = House::with(keyed(&[("web", "old")]));
    assert_eq!(house.send(bearer(get("/v1/agents"), "old")).await.status, 200);
    house.surface.reload(keyed(&[("web", "new")]), Vec::new());
    assert_eq!(house.send(bearer(get("/v1/agents"), "old")).await.status, 401);
    assert_eq!(house.send(bearer(get("/v1/agents"), "new")).await.status, 200);
}

#[tokio::test]
async fn browsers_are_denied_unless_the_spec_allows_their_origin() {
    let mut settings = settings();
    settings.access.cors_origins = vec!["https://app.example".to_owned()];
    let house = House::with(settings);
    let from = |origin: &str| with(get("/health"), "origin", origin);
    let allowed = house.send(from("https://app.example")).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(allowed.header("access-control-expose-headers").unwrap().contains("x-request-id"));
    assert_eq!(allowed.header("vary"), Some("origin"));
    let denied = house.send(from("https://evil.example")).await;
    assert_eq!((denied.header("access-control-allow-origin"), denied.header("vary")), (None, Some("origin")));
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_key() {
    let mut settings = keyed(&[("web", "s")]);
    settings.access.cors_origins = vec!["https://app.example".to_owned()];
    let house = House::with(settings);
    let preflight = |origin: &str| {
        let request = Request::options("/v1/agents/echo/invoke")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type");
        request.body(empty()).unwrap()
    };
    let answer = house.send(preflight("https://app.example")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    let answer = house.send(preflight("https://evil.example")).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn by_default_no_origin_is_allowed() {
    let house = House::new();
    let answer = house.send(with(get("/health"), "origin", "https://app.example")).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, None));
    let mut any = settings();
    any.access.cors_origins = vec!["*".to_owned()];
    let answer = House::with(any).send(with(get("/health"), "origin", "https://app.example")).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}
