//! The model fronts onto providers of their own dialect: bytes in, bytes out, errors in the front's shape.

use std::sync::Arc;

use futures_util::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use mainstay_core::codes;
use serde_json::json;

use crate::house::{House, empty, post, settings, text, until, with};
use crate::scripted::{Script, error};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

#[tokio::test]
async fn a_body_passes_as_received_but_for_the_model() {
    let house = House::new();
    house.openai.next(Script::Wire(
        200,
        vec![("content-type", "application/json")],
        vec![Ok("{\"id\": "), Ok("1}")],
    ));
    let body = r#"{ "zebra": 1, "model" : "gpt", "messages": [ {"role":"user","content":"hi"} ], "new_field": {"a": [1]} }"#;
    let answer = house.post(CHAT, body).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "{\"id\": 1}"));
    let wire = &house.openai.wire.lock()[0];
    assert_eq!(&wire.body[..], body.as_bytes());
    assert_eq!((&wire.body[wire.model_span.clone()], wire.model.as_str()), (&b"\"gpt\""[..], "up/openai"));
    assert_eq!((wire.stream, wire.edits.len()), (false, 0));
    assert!(house.openai.canonical.lock().is_empty());
}

#[tokio::test]
async fn a_stream_passes_frame_by_frame() {
    let house = House::new();
    let frames = vec![Ok("data: {\"a\":1}\n\n"), Ok(""), Ok("data: {\"b\":2}\n\n"), Ok("data: [DONE]\n\n")];
    house.openai.next(Script::Wire(200, vec![("content-type", "text/event-stream; charset=utf-8")], frames));
    let request = post(CHAT, json!({"model": "gpt", "stream": true, "messages": []}));
    let response = house.open(request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let pieces: Vec<_> = response.into_body().into_data_stream().map(Result::unwrap).collect().await;
    assert_eq!(pieces, ["data: {\"a\":1}\n\n", "data: {\"b\":2}\n\n", "data: [DONE]\n\n"]);
    // Usage is asked for because we meter; the provider adapter strips what the caller did not ask for.
    let wire = &house.openai.wire.lock()[0];
    assert!(wire.stream && wire.strip_usage && wire.edits.len() == 1);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_the_fronts_own_error() {
    let house = House::new();
    let broken = || vec![Ok("data: {}\n\n"), Err(error(&codes::PROVIDER_UNAVAILABLE)), Ok("never")];
    house.openai.next(Script::Wire(200, vec![], broken()));
    let answer = house.post(CHAT, json!({"model": "gpt", "stream": true, "messages": []})).await;
    let events = answer.events();
    assert_eq!(events.len(), 2, "{}", answer.body);
    assert_eq!(events[1].json()["error"]["type"], "server_error");
    house.anthropic.next(Script::Wire(200, vec![], broken()));
    let answer = house
        .post(MESSAGES, json!({"model": "claude", "stream": true, "messages": [], "max_tokens": 5}))
        .await;
    let event = answer.events().pop().unwrap();
    assert_eq!((event.name(), &event.json()["type"]), ("error", &json!("error")));
    assert!(!answer.body.contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_ends_in_the_fronts_own_error() {
    let house = House::new();
    let stalls = || Script::Wire(200, vec![("x-stall", "")], vec![Ok("data: {}\n\n")]);
    house.openai.next(stalls());
    let answer = house.post(CHAT, json!({"model": "gpt", "stream": true, "messages": []})).await;
    let error = &answer.events().pop().unwrap().json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &json!("PROVIDER_TIMEOUT")));
    house.anthropic.next(stalls());
    let answer = house
        .post(MESSAGES, json!({"model": "claude", "stream": true, "messages": [], "max_tokens": 5}))
        .await;
    let event = answer.events().pop().unwrap();
    assert_eq!((event.name(), &event.json()["error"]["type"]), ("error", &json!("timeout_error")));
    until("the drop", async || Arc::strong_count(&house.anthropic.answers) == 1).await;
}

#[tokio::test]
async fn a_whole_answer_that_breaks_is_an_error_and_not_half_an_answer() {
    let house = House::new();
    let broken = vec![Ok("{\"choices\""), Err(error(&codes::PROVIDER_BAD_RESPONSE))];
    house.openai.next(Script::Wire(200, vec![], broken));
    let answer = house.post(CHAT, json!({"model": "gpt", "messages": []})).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_refusal_that_blames_the_request_passes_as_it_came() {
    let house = House::new();
    let body = "{\"error\":{\"message\":\"context too long\",\"code\":\"context_length_exceeded\"}}";
    house.openai.next(Script::Wire(400, vec![("content-type", "application/json")], vec![Ok(body)]));
    let answer = house.post(CHAT, json!({"model": "gpt", "stream": true, "messages": []})).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (400, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn the_providers_headers_pass_and_its_request_id_gets_another_name() {
    let house = House::new();
    let headers = vec![
        ("x-ratelimit-remaining-tokens", "17"),
        ("x-request-id", "theirs"),
        ("set-cookie", "a=b"),
        ("transfer-encoding", "chunked"),
    ];
    house.openai.next(Script::Wire(200, headers, vec![Ok("{}")]));
    let answer =
        house.send(with(post(CHAT, json!({"model": "gpt", "messages": []})), "x-request-id", "mine")).await;
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("17"));
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    assert_eq!(answer.header("x-upstream-request-id"), Some("theirs"));
    assert_eq!((answer.header("set-cookie"), answer.header("transfer-encoding")), (None, None));
}

#[tokio::test]
async fn the_callers_version_headers_pass_to_anthropic() {
    let house = House::new();
    house.anthropic.next(Script::Wire(200, vec![], vec![Ok("{}")]));
    let request = post(MESSAGES, json!({"model": "claude", "messages": [], "max_tokens": 5}));
    let request = with(with(request, "anthropic-version", "2026-10-21"), "anthropic-beta", "some-beta");
    let answer = house.send(with(request, "authorization", "Bearer callers-own")).await;
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    let wire = &house.anthropic.wire.lock()[0];
    let wanted = [("anthropic-version", "2026-10-21".to_owned()), ("anthropic-beta", "some-beta".to_owned())];
    assert_eq!(wire.headers, wanted);
}

#[tokio::test]
async fn errors_have_the_shape_of_the_front() {
    let house = House::new();
    let unknown = house.post(CHAT, json!({"model": "nope", "messages": []})).await;
    assert_eq!(unknown.status, 404);
    let error = &unknown.json()["error"];
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("gpt"));
    let unknown = house.post(MESSAGES, json!({"model": "nope", "messages": [], "max_tokens": 5})).await;
    let body = unknown.json();
    assert_eq!((unknown.status.as_u16(), &body["type"]), (404, &json!("error")));
    assert_eq!(body["error"]["type"], "not_found_error");
    assert_eq!(body["request_id"].as_str(), unknown.header("request-id"));
    let cases = [
        ("{\"model\": ", 400),
        ("{}", 400),
        ("{\"model\": 5}", 400),
        ("{\"model\": \"gpt\", \"model\": \"gpt\"}", 400),
        ("[]", 400),
    ];
    for (body, status) in cases {
        let answer = house.post(CHAT, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    let bare = Request::post(CHAT).body(text("{}")).unwrap();
    let answer = house.send(bare).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (415, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn a_missing_key_has_the_shape_of_the_front() {
    let mut closed = settings();
    closed.access.anonymous = mainstay_core::plan::Anonymous::Nobody;
    let house = House::with(closed);
    let answer = house.post(CHAT, json!({"model": "gpt", "messages": []})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    let answer = house.post(MESSAGES, json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    let request = Request::get("/v1/models").header("anthropic-version", "2023-06-01").body(empty()).unwrap();
    assert_eq!(house.send(request).await.json()["type"], "error");
}

#[tokio::test]
async fn provider_failures_say_whether_to_try_again() {
    let house = House::new();
    let ask = async |code| {
        house.openai.next(Script::Fail(code));
        house.post(CHAT, json!({"model": "gpt", "messages": []})).await
    };
    let quota = ask(&codes::PROVIDER_QUOTA).await;
    assert_eq!((quota.status.as_u16(), quota.header("x-should-retry")), (429, Some("false")));
    assert_eq!(
        (&quota.json()["error"]["code"], quota.header("retry-after")),
        (&json!("insufficient_quota"), None)
    );
    let limited = ask(&codes::PROVIDER_RATE_LIMITED).await;
    assert_eq!((limited.status.as_u16(), limited.header("x-should-retry")), (429, None));
    assert_eq!(limited.header("retry-after"), Some("1"));
    let auth = ask(&codes::PROVIDER_AUTH).await;
    assert_eq!((auth.status.as_u16(), auth.header("x-should-retry")), (503, Some("false")));
}

#[tokio::test]
async fn another_target_answers_when_the_first_fails() {
    let house = House::new();
    house.openai.next(Script::Fail(&codes::PROVIDER_UNAVAILABLE));
    let answer =
        house.post(CHAT, json!({"model": "either", "messages": [{"role": "user", "content": "hi"}]})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["choices"][0]["message"]["content"].as_str()),
        (200, Some("Hello"))
    );
    assert_eq!(house.anthropic.canonical.lock()[0].model, "up/anthropic");
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_that_does_not_come_in_time_is_504() {
    let house = House::new();
    house.openai.next(Script::Hang);
    let answer = house.post(CHAT, json!({"model": "gpt", "messages": []})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["type"]), (504, &json!("server_error")));
    house.openai.next(Script::Wire(200, vec![("x-stall", "")], vec![Ok("{")]));
    let answer = house.post(CHAT, json!({"model": "gpt", "messages": []})).await;
    assert_eq!(answer.status.as_u16(), 504);
}

#[tokio::test]
async fn leaving_a_stream_drops_the_providers_answer() {
    let house = House::new();
    house.openai.next(Script::Wire(200, vec![("x-stall", "")], vec![Ok("data: {}\n\n")]));
    let request = post(CHAT, json!({"model": "gpt", "stream": true, "messages": []}));
    let mut stream = house.open(request).await.into_body().into_data_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "data: {}\n\n");
    assert_eq!(Arc::strong_count(&house.openai.answers), 2);
    drop(stream);
    until("the drop", async || Arc::strong_count(&house.openai.answers) == 1).await;
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_the_caller() {
    let house = House::new();
    let list = house.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["claude", "either", "gpt"]);
    assert_eq!(list["data"][0]["created"], 1_700_000_000);
    let versioned =
        |path: &str| Request::get(path).header("anthropic-version", "2023-06-01").body(empty()).unwrap();
    let list = house.send(versioned("/v1/models")).await.json();
    assert_eq!((&list["data"][0]["type"], &list["has_more"]), (&json!("model"), &json!(false)));
    let one = house.get("/v1/models/gpt").await.json();
    assert_eq!((&one["id"], &one["object"]), (&json!("gpt"), &json!("model")));
    assert_eq!(house.send(versioned("/v1/models/gpt")).await.json()["type"], "model");
    let none = house.get("/v1/models/nope").await;
    assert_eq!((none.status.as_u16(), &none.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(house.send(versioned("/v1/models/nope")).await.json()["error"]["type"], "not_found_error");
}
