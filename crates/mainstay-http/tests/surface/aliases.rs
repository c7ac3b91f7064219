//! The short routes of the default agent, in the shapes of the services that had them first.

use mainstay_core::codes;
use serde_json::{Value, json};

use crate::house::House;
use crate::scripted::Script;

/// The sorted keys of an object.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn infer_has_its_shape() {
    let house = House::new();
    let asked = json!({"query": "hi", "context": "some text", "session_id": "s1", "unknown": 1});
    let answer = house.post("/v1/agent/infer", asked).await;
    let wanted =
        json!({"answer": "You said: hi", "model": "up-model", "finish_reason": "stop", "session_id": "s1"});
    let mut found = answer.json();
    assert!(found["answer"].as_str().unwrap().contains("hi"), "{found}");
    found["answer"] = wanted["answer"].clone();
    assert_eq!((answer.status.as_u16(), found), (200, wanted));
    let bare =
        house.post("/v1/agent/infer", json!({"query": "hi", "context": null, "session_id": null})).await;
    assert_eq!(bare.json()["session_id"], Value::Null);
}

#[tokio::test]
async fn invoke_has_its_shape_with_and_without_a_version() {
    let house = House::new();
    for path in ["/v1/invoke", "/invoke"] {
        let answer = house
            .post(path, json!({"query": "hi", "context": {}, "max_tokens": 100, "temperature": 0.7}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(keys(&body), ["id", "latency_ms", "model", "response", "timestamp", "tokens_used"]);
        assert_eq!((&body["tokens_used"], &body["model"]), (&json!(12), &json!("up-model")));
        assert!(body["response"].as_str().unwrap().starts_with("You said: "));
        assert!(body["id"].as_str().unwrap().starts_with("run_"));
    }
}

/// The route refuses the body and names the field.
async fn check(house: &House, path: &str, body: Value, field: Option<&str>) {
    let answer = house.post(path, &body).await;
    let wanted = if field.is_some() { 422 } else { 200 };
    assert_eq!(
        answer.status.as_u16(),
        wanted,
        "{path} {}",
        &body.to_string()[..60.min(body.to_string().len())]
    );
    if let Some(field) = field {
        let error = answer.json();
        assert_eq!(keys(&error), ["detail", "docs", "error", "field", "request_id"]);
        assert_eq!((&error["error"], &error["field"]), (&json!("INVALID_FIELD"), &json!(field)));
        assert!(error["detail"].as_str().unwrap().contains(field));
        assert_eq!(error["request_id"].as_str(), answer.header("x-request-id"));
    }
}

#[tokio::test]
async fn the_bounds_of_the_first_services_hold() {
    let house = House::new();
    let infer = "/v1/agent/infer";
    check(&house, infer, json!({"query": "x".repeat(4_096)}), None).await;
    check(&house, infer, json!({"query": "ü".repeat(4_096)}), None).await;
    check(&house, infer, json!({"query": "x".repeat(4_097)}), Some("query")).await;
    check(&house, infer, json!({"query": ""}), Some("query")).await;
    check(&house, infer, json!({"query": "q", "context": "x".repeat(8_192)}), None).await;
    check(&house, infer, json!({"query": "q", "context": "x".repeat(8_193)}), Some("context")).await;
    for path in ["/v1/invoke", "/invoke", "/v1/stream", "/stream"] {
        check(&house, path, json!({"query": "x".repeat(10_000)}), None).await;
        check(&house, path, json!({"query": "x".repeat(10_001)}), Some("query")).await;
        check(&house, path, json!({"query": "q", "context": "text"}), Some("context")).await;
        check(&house, path, json!({"query": "q", "max_tokens": 4_096, "temperature": 2}), None).await;
        check(&house, path, json!({"query": "q", "max_tokens": 4_097}), Some("max_tokens")).await;
        check(&house, path, json!({"query": "q", "temperature": 2.1}), Some("temperature")).await;
        check(&house, path, json!({"query": "q", "temperature": -0.1}), Some("temperature")).await;
    }
}

#[tokio::test]
async fn a_provider_that_refuses_our_key_is_503_and_says_what_to_do() {
    let house = House::new();
    house.next(Script::Fail(&codes::PROVIDER_AUTH));
    let answer = house.post("/v1/agent/infer", json!({"query": "hi"})).await;
    let error = answer.json();
    assert_eq!((answer.status.as_u16(), &error["error"]), (503, &json!("PROVIDER_AUTH")));
    assert_eq!(error["docs"], "/docs/errors/PROVIDER_AUTH");
    assert!(!answer.body.contains("secret"));
}

#[tokio::test]
async fn a_stream_is_lines_of_text_and_a_closing_word() {
    let house = House::new();
    for path in ["/v1/stream", "/stream"] {
        let answer = house.post(path, json!({"query": "first\nsecond"})).await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let mut events = answer.events();
        let last = events.pop().unwrap();
        assert_eq!((last.data.as_str(), last.name), ("[DONE]", None));
        let text: String = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(text, "You said: first\nsecond");
        assert!(events.iter().all(|event| event.name.is_none() && event.id.is_some()));
    }
}

#[tokio::test]
async fn a_failure_in_a_stream_is_no_content() {
    let house = House::new();
    house.next(Script::Fail(&codes::PROVIDER_AUTH));
    let answer = house.post("/v1/stream", json!({"query": "hi"})).await;
    let events = answer.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].name(), &events[0].json()["error"]), ("error", &json!("PROVIDER_AUTH")));
    assert_eq!(events[0].json()["run_id"].as_str(), answer.header("x-run-id"));
}
