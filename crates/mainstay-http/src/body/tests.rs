//! What is said of a body that does not fit.

use serde::Deserialize;

use http_body_util::Full;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[expect(dead_code, reason = "only read")]
    query: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only read")]
    inner: Option<Vec<Inner>>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[expect(dead_code, reason = "only read")]
    count: u32,
}

/// The code, the field and the message for `body`.
fn check(body: &str, code: &str, field: Option<&str>, message: &str) {
    let error = parse::<Sample>(body.as_bytes()).unwrap_err();
    assert_eq!((error.code().id, error.field()), (code, field), "{body}");
    assert!(error.message().contains(message), "{body}: {}", error.message());
}

#[test]
fn malformed_json_is_placed() {
    check("{\n  \"query\": }", "INVALID_JSON", None, "line 2, column 12");
    check("", "INVALID_JSON", None, "line 1, column 1");
    check("{\"query\": \"a\"} x", "INVALID_JSON", None, "line 1, column 16");
    check("{\"query\": 5, ", "INVALID_JSON", None, "EOF");
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    check("{}", "INVALID_FIELD", Some("query"), "missing");
    check("{\"query\": 5}", "INVALID_FIELD", Some("query"), "it must be a string");
    check("{\"query\": \"q\", \"query\": \"r\"}", "INVALID_FIELD", Some("query"), "twice");
    check("{\"query\": \"q\", \"qery\": 1}", "INVALID_FIELD", Some("qery"), "there are `query`");
    let nested = "{\"query\": \"q\", \"inner\": [{\"count\": 1}, {\"count\": -1}]}";
    check(nested, "INVALID_FIELD", Some("inner.1.count"), "a whole number");
    check("{\"query\": \"q\", \"inner\": [{}]}", "INVALID_FIELD", Some("inner.0.count"), "missing");
}

#[test]
fn only_an_object_is_a_request() {
    for body in ["[\"a\"]", "\"a\"", "5", "null"] {
        check(body, "INVALID_FIELD", None, "a JSON object");
    }
}

#[test]
fn what_the_caller_wrote_is_not_repeated() {
    let error = parse::<Sample>(b"{\"query\": \"q\", \"inner\": \"a secret thing\"}").unwrap_err();
    assert!(!error.message().contains("secret"), "{}", error.message());
}

#[test]
fn json_has_several_names() {
    for yes in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        assert!(is_json(yes), "{yes}");
    }
    for no in
        ["text/json", "application/jsonl", "json", "", "application/x-www-form-urlencoded", "text/plain"]
    {
        assert!(!is_json(no), "{no}");
    }
}

#[tokio::test]
async fn a_body_in_one_piece_is_not_copied() {
    let whole = Bytes::from_static(b"{\"query\": \"hello\"}");
    let body = Full::new(whole.clone()).map_err(|never| match never {}).boxed_unsync();
    let read = read(&mut RequestBody::Other(body), 100).await.ok().unwrap();
    assert_eq!(read.as_ptr(), whole.as_ptr());
}
