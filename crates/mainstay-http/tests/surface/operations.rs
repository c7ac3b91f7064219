//! Health, readiness, drain and what is reported.

use mainstay_core::telemetry::Gauge;
use serde_json::json;

use crate::house::{House, post, until};
use crate::scripted::Script;

#[tokio::test]
async fn health_is_the_process_alone() {
    let house = House::new();
    house.journal.set_available(false);
    for path in ["/health", "/health/live"] {
        let answer = house.get(path).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["status"]), (200, &json!("ok")));
        assert_eq!((&body["version"], &body["service"]), (&json!("9.8.7"), &json!("test-service")));
        assert!(body["uptime_seconds"].as_f64().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn readiness_is_a_durable_write() {
    let house = House::new();
    for path in ["/ready", "/health/ready"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("ready")));
    }
    assert_eq!(house.ledger.gauge_of(Gauge::Ready).0, 1);
    house.journal.set_available(false);
    until("not ready", async || house.get("/ready").await.status == 503).await;
    let answer = house.get("/ready").await;
    let body = answer.json();
    assert_eq!(body["status"], "not_ready");
    let journal = &body["dependencies"][0];
    assert_eq!((&journal["name"], &journal["code"]), (&json!("journal"), &json!("JOURNAL_UNAVAILABLE")));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(house.ledger.gauge_of(Gauge::Ready).0, 0);
    assert!(house.ledger.rested_on().contains(&("journal".to_owned(), false)));
    house.journal.set_available(true);
    until("ready again", async || house.get("/ready").await.status == 200).await;
    assert_eq!(house.ledger.gauge_of(Gauge::Ready).0, 1);
}

#[tokio::test]
async fn a_drain_refuses_new_work_and_lets_the_old_finish() {
    let house = House::new();
    house.next(Script::Stall("part"));
    let stream = house.open(post("/v1/agents/leaving/stream", json!({"query": "hi"}))).await;
    house.surface.set_draining();
    let ready = house.get("/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (503, &json!("draining")));
    assert!(ready.header("retry-after").is_some());
    for path in ["/v1/agents/echo/invoke", "/v1/agents/echo/stream"] {
        let refused = house.post(path, json!({"query": "hi"})).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "DRAINING"));
        assert_eq!(refused.header("retry-after"), Some("5"));
        assert_eq!(refused.header("connection"), Some("close"));
    }
    let alias = house.post("/v1/invoke", json!({"query": "hi"})).await;
    assert_eq!((alias.status.as_u16(), &alias.json()["error"]), (503, &json!("DRAINING")));
    let front = house.post("/v1/chat/completions", json!({"model": "gpt", "messages": []})).await;
    assert_eq!(front.status, 503);
    assert_eq!(house.get("/health").await.status, 200);
    assert_eq!(house.get("/v1/runs").await.status, 200);
    assert_eq!(house.ledger.refusals(), ["drain"; 4]);
    assert_eq!(house.surface.in_flight(), 1);
    let idle = house.surface.idle();
    tokio::pin!(idle);
    assert!(futures_util::poll!(idle.as_mut()).is_pending());
    drop(stream);
    idle.await;
}

#[tokio::test]
async fn metrics_are_what_telemetry_says() {
    let answer = House::new().get("/metrics").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "up 1\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn each_request_is_reported_once_by_its_template() {
    let house = House::new();
    house.post("/v1/agents/echo/invoke", json!({"query": "hi"})).await;
    house.get("/v1/runs/run_secret").await;
    house.get("/v1/invoke").await;
    let reported: Vec<(String, String, u16)> = house.ledger.http();
    let wanted = [
        ("POST", "/v1/agents/{agent}/invoke", 200),
        ("GET", "/v1/runs/{run}", 404),
        ("GET", "/v1/invoke", 405),
    ];
    assert_eq!(reported, wanted.map(|(method, route, status)| (method.to_owned(), route.to_owned(), status)));
    assert_eq!(house.ledger.gauge_of(Gauge::HttpInFlight).0, 0);
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_is_reported_as_such() {
    let house = House::new();
    house.next(Script::Hang);
    let asked = house.open(post("/v1/agents/leaving/invoke", json!({"query": "hi"})));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), asked).await.is_err());
    assert_eq!(house.ledger.http()[0].2, 499);
    assert_eq!(house.surface.in_flight(), 0);
}
