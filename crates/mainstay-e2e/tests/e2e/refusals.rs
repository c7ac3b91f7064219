//! Bad input gets a clear error of one shape, and loses nothing.

use bytes::Bytes;
use http::Method;
use mainstay_e2e::Place;
use mainstay_testkit::process::{Answer, PATIENCE, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SPEC: &str = "
name: e2e
server: { body_bytes_max: 4KiB, body_timeout: 300ms, request_timeout: 1s }
providers:
  script:
    scripted:
      replies:
        - { when: hang, fault: { hang: {} } }
        - { when: quota, fault: { quota: {} } }
        - { when: filter, fault: { content_filter: {} } }
        - { when: limited, fault: { status: { code: 429, retry_after_ms: 7000 } } }
        - { when: broken, fault: { status: { code: 500 } } }
        - { when: cut, text: one two three four, fault: { cut: { after_tokens: 2 } } }
        - { text: fine }
models:
  default: { targets: [script/any] }
agents:
  hello:
    declared: { model: default, instructions: Answer. }
  covered:
    declared: { model: default, instructions: Answer. }
    fallback:
      - { on: [PROVIDER_QUOTA], answer: Try later., model: demo, finish_reason: quota_fallback }
";

const INVOKE: &str = "/v1/agents/hello/invoke";

async fn server() -> (Place, Server) {
    let place = Place::new(SPEC);
    let server = place.serve().await;
    (place, server)
}

/// The status and the code; every error also names its request and its page.
fn refused(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let error = &body["error"];
    let code = error["code"].as_str().unwrap_or_else(|| panic!("no code: {body}")).to_owned();
    assert_eq!(error["request_id"].as_str(), answer.header("x-request-id"), "{body}");
    assert_eq!(error["docs"], format!("/docs/errors/{code}").as_str());
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (answer.status, code)
}

#[tokio::test]
async fn a_request_at_fault_is_told_what_is_wrong() {
    let (_place, server) = server().await;
    let client = server.client();
    let send = async |method: Method, path: &str, body: &str| {
        refused(&client.send(client.request(method, path, Bytes::copy_from_slice(body.as_bytes()))).await)
    };
    let ask = r#"{"query":"hi"}"#;
    let large = format!(r#"{{"query":"{}"}}"#, "x".repeat(5_000));
    for (method, path, body, status, code) in [
        (Method::POST, "/v1/agents/nobody/invoke", ask, 404, "AGENT_NOT_FOUND"),
        (Method::POST, "/v1/nothing", ask, 404, "UNKNOWN_ROUTE"),
        (Method::GET, "/v1/runs/run_0", "", 404, "RUN_NOT_FOUND"),
        (Method::GET, INVOKE, "", 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, INVOKE, "{\"query\":", 400, "INVALID_JSON"),
        (Method::POST, INVOKE, r#"{"query":""}"#, 422, "INVALID_FIELD"),
        (Method::POST, INVOKE, r#"{"query":"hi","temperature":9}"#, 422, "INVALID_FIELD"),
        (Method::POST, INVOKE, r#"{"query":"hi","colour":"red"}"#, 422, "INVALID_FIELD"),
        (Method::POST, INVOKE, &large, 413, "BODY_TOO_LARGE"),
    ] {
        assert_eq!(
            send(method.clone(), path, body).await,
            (status, code.to_owned()),
            "{method} {path} {body:.40}"
        );
    }
    assert_eq!(client.post(INVOKE, &json!({ "query": "hi" })).await.status, 200, "and nothing is lost");
}

#[tokio::test]
async fn another_content_type_is_refused_and_the_field_at_fault_is_named() {
    let (_place, server) = server().await;
    let client = server.client();
    let mut request = client.request(Method::POST, INVOKE, Bytes::from_static(b"query=hi"));
    request
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/x-www-form-urlencoded"));
    assert_eq!(refused(&client.send(request).await), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    let answer = client.post(INVOKE, &json!({ "query": "hi", "max_tokens": 0 })).await;
    assert_eq!(answer.json()["error"]["field"], "max_tokens");
    let wrong_method = client.get(INVOKE).await;
    assert_eq!(wrong_method.header("allow"), Some("POST"));
}

#[tokio::test]
async fn the_request_id_of_the_caller_is_kept() {
    let (_place, server) = server().await;
    let client = server.client();
    let mut request = client.request(Method::GET, "/v1/nothing", Bytes::new());
    request.headers_mut().insert("x-request-id", http::HeaderValue::from_static("mine-1"));
    let answer = client.send(request).await;
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    refused(&answer);
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_reach_the_local_server() {
    let (_place, server) = server().await;
    let client = server.client();
    let mut request = client.request(Method::POST, INVOKE, Bytes::from_static(br#"{"query":"hi"}"#));
    request.headers_mut().insert("host", http::HeaderValue::from_static("rebound.example.com"));
    assert!(matches!(client.send(request).await.status, 401 | 403));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (_place, server) = server().await;
    let mut socket = TcpStream::connect(server.address()).await.expect("the server accepts");
    let head = format!(
        "POST {INVOKE} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{{",
        server.address()
    );
    socket.write_all(head.as_bytes()).await.expect("the head is taken");
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(PATIENCE, socket.read_exact(&mut answer)).await;
    read.expect("it answers in time").expect("it answers");
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn each_failure_of_a_provider_has_a_code_of_its_own() {
    let (_place, server) = server().await;
    for (query, status, code) in [
        ("hang", 504, "DEADLINE_EXCEEDED"),
        ("quota", 429, "PROVIDER_QUOTA"),
        ("filter", 422, "PROVIDER_CONTENT_FILTER"),
        ("limited", 429, "PROVIDER_RATE_LIMITED"),
        ("broken", 503, "PROVIDER_UNAVAILABLE"),
        ("cut", 502, "PROVIDER_BAD_RESPONSE"),
    ] {
        let answer = server.client().post(INVOKE, &json!({ "query": query })).await;
        assert_eq!(refused(&answer), (status, code.to_owned()), "{query}");
        assert!(answer.json()["error"]["run_id"].is_string(), "{query}: the run can be looked at");
    }
}

#[tokio::test]
async fn a_fallback_answers_for_the_failure_it_names() {
    let (_place, server) = server().await;
    let answer = server.client().post("/v1/agents/covered/invoke", &json!({ "query": "quota" })).await;
    let run = answer.json();
    assert_eq!(answer.status, 200, "{run}");
    assert_eq!((run["answer"].as_str(), run["model"].as_str()), (Some("Try later."), Some("demo")));
    assert_eq!(run["finish_reason"], "quota_fallback");
}

#[tokio::test]
async fn a_key_opens_and_its_limits_hold() {
    let place = Place::new(&format!(
        "{SPEC}access:\n  keys:\n    - {{ name: free, key: \"env:FREE\" }}\n    - {{ name: slow, key: \"env:SLOW\", \
         requests_per_minute: 2 }}\n    - {{ name: single, key: \"env:SINGLE\", concurrency: 1 }}\n"
    ));
    let launch = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]);
    let server = launch
        .variable("FREE", "k-free")
        .variable("SLOW", "k-slow")
        .variable("SINGLE", "k-single")
        .start()
        .await;
    let ask = json!({ "query": "hi" });
    let bare = server.client();
    assert_eq!(refused(&bare.post(INVOKE, &ask).await), (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(
        refused(&bare.clone().with_key("wrong").post(INVOKE, &ask).await),
        (401, "UNAUTHENTICATED".to_owned())
    );
    assert_eq!(bare.get("/health").await.status, 200, "probes need no key");
    assert_eq!(bare.clone().with_key("k-free").post(INVOKE, &ask).await.status, 200);
    let slow = bare.clone().with_key("k-slow");
    assert_eq!((slow.post(INVOKE, &ask).await.status, slow.post(INVOKE, &ask).await.status), (200, 200));
    let limited = slow.post(INVOKE, &ask).await;
    assert_eq!(refused(&limited), (429, "RATE_LIMITED".to_owned()));
    let wait: u64 =
        limited.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a wait in seconds");
    assert!((1..=60).contains(&wait), "{wait}");

    let single = bare.with_key("k-single");
    let hanging = tokio::spawn({
        let single = single.clone();
        async move {
            // The other caller may hold the only seat at first.
            loop {
                let status = single.post(INVOKE, &json!({ "query": "hang" })).await.status;
                if status != 429 {
                    break status;
                }
            }
        }
    });
    let second = loop {
        let answer = single.post(INVOKE, &ask).await;
        if answer.status == 429 || hanging.is_finished() {
            break answer;
        }
    };
    assert_eq!(refused(&second), (429, "CONCURRENCY_LIMITED".to_owned()));
    assert_eq!(hanging.await.expect("it ends"), 504);
}
