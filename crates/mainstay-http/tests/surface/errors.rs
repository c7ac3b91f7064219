//! What every refusal looks like: its status, its code, and that nothing leaks.

use std::time::Duration;

use http::Request;
use mainstay_core::{Code, Error, Retry, codes};
use serde_json::json;

use crate::house::{Body, House, empty, post, settings, streamed, text, until, with};
use crate::scripted::Script;

/// Sends the request and expects an error of ours.
async fn check(house: &House, request: Request<Body>, status: u16, code: &str) -> serde_json::Value {
    let answer = house.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{answer:?}");
    let error = answer.json()["error"].clone();
    assert_eq!(error["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(error["docs"], format!("/docs/errors/{code}"));
    assert!(!error["message"].as_str().unwrap().is_empty());
    error
}

const INVOKE: &str = "/v1/agents/echo/invoke";

#[tokio::test]
async fn an_unknown_path_is_404() {
    let house = House::new();
    for path in ["/nope", "/v1/agents/echo", "/v1/invoke/", "/v1/runs/"] {
        check(&house, Request::get(path).body(empty()).unwrap(), 404, "UNKNOWN_ROUTE").await;
    }
    assert_eq!(house.ledger.http()[0], ("GET".to_owned(), "unknown".to_owned(), 404));
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let house = House::new();
    let answer = house.get(INVOKE).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.code(), "METHOD_NOT_ALLOWED");
    let answer = house.send(Request::put("/v1/sessions/s").body(empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("GET, DELETE, HEAD")));
    let answer = house.send(Request::options("/v1/agents").body(empty()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 405);
}

#[tokio::test]
async fn an_unknown_agent_is_404_and_the_known_ones_are_named() {
    let house = House::new();
    let request = post("/v1/agents/nobody/invoke", json!({"query": "hi"}));
    let error = check(&house, request, 404, "AGENT_NOT_FOUND").await;
    assert!(error["help"].as_str().unwrap().contains("`echo`"), "{error}");
    check(&house, post("/v1/agents/%ff/invoke", json!({"query": "hi"})), 404, "AGENT_NOT_FOUND").await;
}

#[tokio::test]
async fn a_body_that_is_not_json_by_its_type_is_415() {
    let house = House::new();
    let form = Request::post(INVOKE).header("content-type", "application/x-www-form-urlencoded");
    let error = check(&house, form.body(text("query=hi")).unwrap(), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    assert!(error["help"].as_str().unwrap().contains("application/json"));
    let bare = Request::post(INVOKE).body(text(r#"{"query": "hi"}"#)).unwrap();
    check(&house, bare, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let packed = with(post(INVOKE, "x"), "content-encoding", "gzip");
    check(&house, packed, 415, "UNSUPPORTED_MEDIA_TYPE").await;
}

#[tokio::test]
async fn malformed_json_is_400_with_its_place() {
    let house = House::new();
    let error = check(&house, post(INVOKE, "{\n  \"query\": "), 400, "INVALID_JSON").await;
    assert!(error["message"].as_str().unwrap().contains("line 2"), "{error}");
}

#[tokio::test]
async fn an_invalid_field_is_422_and_named() {
    let house = House::new();
    let cases = [
        (json!({}), "query"),
        (json!({"query": ""}), "query"),
        (json!({"query": 5}), "query"),
        (json!({"query": "q", "temperature": 2.5}), "temperature"),
        (json!({"query": "q", "max_tokens": 0}), "max_tokens"),
        (json!({"query": "q", "max_tokens": -1}), "max_tokens"),
        (json!({"query": "q", "session_id": "a b"}), "session_id"),
        (json!({"query": "q", "sesion_id": "s"}), "sesion_id"),
        (json!({"query": "q", "metadata": []}), "metadata"),
        (json!({"query": "q", "on_disconnect": "wait"}), "on_disconnect"),
        (json!({"query": "q", "background": "yes"}), "background"),
    ];
    for (body, field) in cases {
        let error = check(&house, post(INVOKE, &body), 422, "INVALID_FIELD").await;
        assert_eq!(error["field"], field, "{body}");
    }
    let request = with(post(INVOKE, json!({"query": "q"})), "idempotency-key", "");
    assert_eq!(check(&house, request, 422, "INVALID_FIELD").await["field"], "idempotency-key");
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_413_declared_or_not() {
    let house = House::new();
    let large = json!({"query": "x".repeat(70_000)}).to_string();
    let declared = with(post(INVOKE, &large), "content-length", &large.len().to_string());
    check(&house, declared, 413, "BODY_TOO_LARGE").await;
    let pieces: Vec<Result<String, std::convert::Infallible>> =
        vec![Ok(large[..40_000].into()), Ok(large[40_000..].into())];
    let builder = Request::post(INVOKE).header("content-type", "application/json");
    let request = builder.body(streamed(futures_util::stream::iter(pieces))).unwrap();
    check(&house, request, 413, "BODY_TOO_LARGE").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_in_time_is_504_and_names_its_run() {
    for (on_disconnect, then) in [("continue", "running"), ("cancel", "cancelled")] {
        let house = House::new();
        house.next(Script::Hang);
        let answer = house.post(INVOKE, json!({"query": "hi", "on_disconnect": on_disconnect})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (504, "DEADLINE_EXCEEDED"),
            "{answer:?}"
        );
        assert!(answer.body.contains("server.request_timeout"), "{answer:?}");
        let run = answer.json()["error"]["run_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("x-run-id"), Some(run.as_str()));
        let status = async || house.get(&format!("/v1/runs/{run}")).await.json()["status"].clone();
        until("the run is as its policy says", async || status().await == then).await;
    }
}

/// A provider's failure, as the caller of an agent sees it.
async fn check_provider(code: &'static Code, status: u16, retry_after: bool) {
    let house = House::new();
    house.next(Script::Fail(code));
    let answer = house.post(INVOKE, json!({"query": "hi"})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code.id), "{answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), retry_after, "{}", code.id);
    assert!(answer.json()["error"]["run_id"].as_str().is_some_and(|id| id.starts_with("run_")));
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_reaches_the_caller_of_an_agent() {
    let house = House::new();
    let limited = Error::new(&codes::PROVIDER_RATE_LIMITED, "ask the model: it is busy");
    let wait = Retry::Temporary(Some(Duration::from_millis(6_500)));
    house.next(Script::Events(vec![Err(limited.with_retry(wait))]));
    let answer = house.post(INVOKE, json!({"query": "hi"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("7")));
}

#[tokio::test]
async fn each_class_of_provider_failure_has_its_own_code() {
    check_provider(&codes::PROVIDER_AUTH, 503, false).await;
    check_provider(&codes::PROVIDER_QUOTA, 429, false).await;
    check_provider(&codes::PROVIDER_RATE_LIMITED, 429, true).await;
    check_provider(&codes::PROVIDER_CONTENT_FILTER, 422, false).await;
    check_provider(&codes::PROVIDER_UNAVAILABLE, 503, true).await;
    check_provider(&codes::PROVIDER_BAD_RESPONSE, 502, false).await;
    check_provider(&codes::PROVIDER_TIMEOUT, 504, false).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_503() {
    let house = House::new();
    house.journal.set_available(false);
    let answer = house.post(INVOKE, json!({"query": "hi"})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "JOURNAL_UNAVAILABLE"));
}

#[tokio::test]
async fn overload_is_503_with_a_wait_and_health_still_answers() {
    let mut tight = settings();
    tight.server.requests_max = 1;
    let house = House::with(tight);
    house.next(Script::Stall("a"));
    let stream = house.open(post("/v1/agents/leaving/stream", json!({"query": "hi"}))).await;
    assert_eq!((stream.status().as_u16(), house.surface.in_flight()), (200, 1));
    let answer = house.post(INVOKE, json!({"query": "hi"})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "OVERLOADED"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(house.get("/health").await.status, 200);
    assert_eq!(house.get("/metrics").await.status, 200);
    assert_eq!(house.ledger.refusals(), ["overload"]);
    drop(stream);
    assert_eq!(house.surface.in_flight(), 0);
    assert_eq!(house.post(INVOKE, json!({"query": "hi"})).await.status, 200);
}

#[tokio::test]
async fn a_refusal_that_takes_its_time_crowds_nobody_out() {
    let mut tight = settings();
    tight.server.requests_max = 1;
    let house = House::with(tight);
    house.next(Script::Stall("a"));
    let stream = house.open(post("/v1/agents/leaving/stream", json!({"query": "hi"}))).await;
    let endless = futures_util::stream::pending::<Result<String, std::convert::Infallible>>();
    let slow = Request::post(INVOKE).header("content-type", "application/json");
    let refused = house.send(slow.body(streamed(endless)).unwrap());
    tokio::pin!(refused);
    assert!(futures_util::poll!(refused.as_mut()).is_pending());
    assert_eq!(house.surface.in_flight(), 1);
    drop(stream);
    assert_eq!(house.post(INVOKE, json!({"query": "hi"})).await.status, 200);
    assert_eq!(refused.await.code(), "OVERLOADED");
}

#[tokio::test]
async fn nothing_internal_and_no_prompt_shows_in_an_error() {
    let house = House::new();
    for code in [&codes::PROVIDER_AUTH, &codes::PROVIDER_BAD_RESPONSE, &codes::INTERNAL] {
        house.next(Script::Fail(code));
        let answer = house.post(INVOKE, json!({"query": "my private question"})).await;
        for secret in ["secret", "private question"] {
            assert!(!answer.body.contains(secret), "{}", answer.body);
        }
    }
    let wrong = json!({"query": {"text": "my private question"}});
    assert!(!house.post(INVOKE, wrong).await.body.contains("private"));
}

#[tokio::test]
async fn a_panic_is_one_requests_500() {
    let house = House::new();
    house.openai.next(Script::Panic);
    let request = || post("/v1/chat/completions", json!({"model": "gpt", "messages": []}));
    let answer = house.send(request()).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"]["code"], "INTERNAL");
    assert!(!answer.body.contains("scripted panic"));
    house.openai.next(Script::Wire(200, vec![], vec![Ok("{}")]));
    assert_eq!(house.send(request()).await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_an_id_and_the_security_headers() {
    let house = House::new();
    for path in ["/health", "/nope", "/v1/agents", "/docs"] {
        let answer =
            house.send(with(Request::get(path).body(empty()).unwrap(), "x-request-id", "mine-7")).await;
        assert_eq!(answer.header("x-request-id"), Some("mine-7"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    let answer = house.send(with(Request::get("/nope").body(empty()).unwrap(), "x-request-id", "a b")).await;
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
}
