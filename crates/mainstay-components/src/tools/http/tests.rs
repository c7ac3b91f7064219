//! The tool on the wire: what it sends, what it makes of answers, and where it does not go. The port's own promises are
//! in the conformance suite.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use mainstay_core::{Name, RunId};
use mainstay_testkit::loopback::{self, Answer, Loopback, Request};
use serde_json::json;

use super::*;
use crate::secrets::Secrets;

/// What the server received.
#[derive(Clone, Debug)]
struct Received {
    line: String,
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Log = Arc<Mutex<Vec<Received>>>;

/// A server that records and answers the same to every request.
async fn server(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (Loopback, Log) {
    let (log, answer) = (Log::default(), Arc::new(answer));
    let seen = Arc::clone(&log);
    let service = move |request: Request| -> BoxFuture<'static, Answer> {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let line = format!("{} {}", parts.method, parts.uri);
            seen.lock().unwrap().push(Received { line, headers: parts.headers, body });
            answer()
        })
    };
    (Loopback::serve(Arc::new(service)).await, log)
}

fn settings(url: &str, changes: Value) -> Value {
    let properties = json!({"id": {"type": "string"}, "note": {"type": "string"}, "tags": {"type": "array"}});
    let mut settings = json!({
        "description": "Reads a ticket.",
        "url": url,
        "parameters": {"type": "object", "properties": properties, "required": ["id"]},
        "allow_private": true,
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    settings.as_object_mut().unwrap().extend(changes);
    assert_eq!(check::check(&settings), [], "the test's settings are valid");
    settings
}

fn opened(settings: &Value) -> Result<Arc<dyn ToolSource>> {
    let embedder = mainstay_testkit::embedder::spelling();
    let (name, secrets) = (Name::parse("ticket").unwrap(), Secrets::new("."));
    open(Opening { name: &name, settings, secrets: &secrets, embedder: &embedder })
}

async fn call(settings: &Value, ctx: &Ctx, arguments: Value) -> Result<ToolOutput> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let call = ToolInvocation {
        run: RunId::generate(),
        name: "ticket".to_owned(),
        arguments,
        idempotency_key: "run_1.call_1".to_owned(),
    };
    opened(settings)?.call(ctx, &call).await
}

/// Calls against a server that answers so, and gives what became of it.
async fn answered(answer: impl Fn() -> Answer + Send + Sync + 'static) -> ToolOutput {
    let (server, _) = server(answer).await;
    let settings = settings(&format!("{}/t/{{id}}", server.url()), json!({"response_bytes_max": "8KiB"}));
    call(&settings, &Ctx::system(), json!({"id": "1"})).await.unwrap()
}

fn ok() -> Answer {
    loopback::whole(200, "application/json", "{}")
}

#[tokio::test]
async fn a_get_carries_what_is_not_in_the_url_as_query_and_no_key() {
    let (server, log) = server(ok).await;
    let settings = settings(&format!("{}/t/{{id}}", server.url()), json!({}));
    call(&settings, &Ctx::system(), json!({"id": "a/b", "note": "x y", "tags": [1, 2]})).await.unwrap();
    let received = log.lock().unwrap()[0].clone();
    assert_eq!(received.line, "GET /t/a%2Fb?note=x%20y&tags=1&tags=2");
    assert_eq!((received.body.as_str(), received.header("idempotency-key")), ("", None));
    assert_eq!(received.header("content-type"), None);
    assert!(received.header("user-agent").unwrap().starts_with("mainstay/"));
}

#[tokio::test]
async fn a_post_carries_what_is_not_in_the_url_as_json_with_key_trace_and_secret() {
    let (server, log) = server(ok).await;
    let headers =
        json!({"authorization": "Bearer ${env:CARGO_PKG_NAME}", "x-tenant": "acme", "accept": "text/plain"});
    let changes = json!({"method": "POST", "headers": headers});
    let settings = settings(&format!("{}/t/{{id}}", server.url()), changes);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ctx = Ctx::system().with_traceparent(trace);
    call(&settings, &ctx, json!({"id": "1", "note": "ü", "tags": ["a"]})).await.unwrap();
    let received = log.lock().unwrap()[0].clone();
    assert_eq!(received.line, "POST /t/1");
    assert_eq!(received.body, r#"{"note":"ü","tags":["a"]}"#);
    let expect = [
        ("content-type", "application/json"),
        ("idempotency-key", "run_1.call_1"),
        ("traceparent", trace),
        ("authorization", concat!("Bearer ", env!("CARGO_PKG_NAME"))),
        ("x-tenant", "acme"),
        ("accept", "text/plain"),
    ];
    for (name, value) in expect {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_tool_without_its_secret_does_not_open() {
    let changes = json!({"headers": {"authorization": "Bearer ${env:MAINSTAY_NO_SUCH_VARIABLE}"}});
    let error = opened(&settings("https://h/{id}", changes)).err().unwrap();
    assert_eq!(error.code().id, "SECRET_UNAVAILABLE");
    assert!(error.message().contains("env:MAINSTAY_NO_SUCH_VARIABLE"));
}

#[tokio::test]
async fn a_failed_answer_is_told_with_its_status_and_a_bounded_body() {
    let output = answered(|| loopback::whole(422, "application/json", r#"{"error":"bad id"}"#)).await;
    let expect = "the tool answered 422 Unprocessable Entity: {\"error\":\"bad id\"}";
    assert_eq!((output.content.as_str(), output.is_error), (expect, true));
    let output = answered(|| loopback::whole(500, "text/plain", "ü".repeat(9_000))).await;
    assert!(output.is_error && output.content.len() < 4_200, "{} bytes", output.content.len());
    let output = answered(|| loopback::whole(500, "image/png", vec![0xff; 10])).await;
    assert_eq!(output.content, "the tool answered 500 Internal Server Error");
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_followed() {
    let (server, log) = server(|| {
        let mut answer = loopback::whole(302, "text/plain", "moved");
        answer.headers_mut().insert("location", HeaderValue::from_static("http://169.254.169.254/latest/"));
        answer
    })
    .await;
    let settings = settings(&format!("{}/{{id}}", server.url()), json!({}));
    let output = call(&settings, &Ctx::system(), json!({"id": "1"})).await.unwrap();
    assert_eq!(output.content, "the tool answered 302 Found; redirects are not followed");
    assert!(output.is_error);
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_text_or_not_there_is_told_in_words() {
    let output = answered(|| loopback::whole(200, "image/png", vec![0x89, 0xff, 0x00])).await;
    assert_eq!(output.content, "the tool answered 3 bytes that are not text (image/png)");
    assert!(output.is_error);
    let output = answered(|| loopback::whole(204, "text/plain", "")).await;
    assert_eq!(
        (output.content.as_str(), output.is_error),
        ("the tool answered 204 No Content without content", false)
    );
}

#[tokio::test]
async fn an_answer_as_large_as_the_bound_is_whole() {
    let output = answered(|| loopback::whole(200, "text/plain", "x".repeat(8 * 1024))).await;
    assert_eq!((output.content.len(), output.is_error), (8 * 1024, false));
}

#[tokio::test]
async fn a_private_address_is_refused_by_default_and_not_shown() {
    let (server, log) = server(ok).await;
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let mut settings = settings(&format!("http://{host}:{port}/{{id}}"), json!({}));
        // The check refuses it; a name that resolves to such an address gets this far.
        settings["allow_private"] = json!(false);
        let error = call(&settings, &Ctx::system(), json!({"id": "1"})).await.unwrap_err();
        assert_eq!(error.code().id, "TOOL_ADDRESS_REFUSED", "{host}");
        assert!(host != "localhost" || !error.message().contains("127.0.0.1"), "{error}");
    }
    assert!(log.lock().unwrap().is_empty(), "a guarded call got through");
}

#[tokio::test]
async fn the_tools_own_timeout_bounds_a_call() {
    let server = Loopback::serve(Arc::new(|_| Box::pin(std::future::pending()))).await;
    let settings = settings(&format!("{}/{{id}}", server.url()), json!({"timeout": "50ms"}));
    let error = call(&settings, &Ctx::system(), json!({"id": "1"})).await.unwrap_err();
    assert_eq!((error.code().id, error.message()), ("TOOL_TIMEOUT", "the tool did not answer within 50 ms"));
    server.callers_gone(1).await;
}
