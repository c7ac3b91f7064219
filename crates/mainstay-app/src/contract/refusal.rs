//! A status that is no success, in words. An app's own words are shown for 4xx alone, bounded, and without the input
//! that frameworks repeat in them.

use mainstay_core::{Error, codes};
use serde_json::Value;

/// Bytes of an app's body that are read for its words.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024;
/// Characters of an app's words that are shown.
const DETAIL_CHARS_MAX: usize = 300;
/// Faults of a list that are shown.
const FAULTS_MAX: usize = 5;

/// What the status means.
pub(crate) fn error(status: http::StatusCode, path: &str, body: &[u8]) -> Error {
    if status.is_client_error() {
        let message = match detail(body) {
            Some(detail) => format!("the app answered {status}: {detail}"),
            None => format!("the app answered {status} at `{path}`"),
        };
        let error = Error::new(&codes::APP_REJECTED, message);
        return match status.as_u16() {
            404 | 405 => error.with_help("check `invoke_path` and `stream_path` of the agent in the spec"),
            _ => error,
        };
    }
    Error::new(&codes::APP_FAILED, format!("the app answered {status} at `{path}`"))
        .with_help("read the app's output for this run")
}

/// The app's own words: `detail`, `message` or `error`, as frameworks write them.
fn detail(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let words = match body.get("detail").or(body.get("message")).or(body.get("error"))? {
        Value::String(text) => text.clone(),
        Value::Array(faults) => {
            faults.iter().take(FAULTS_MAX).filter_map(fault).collect::<Vec<_>>().join("; ")
        }
        Value::Object(inner) => inner.get("message").or(inner.get("detail"))?.as_str()?.to_owned(),
        _ => return None,
    };
    let clean: String =
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect();
    Some(clean).filter(|words| !words.trim().is_empty())
}

/// `body.query: field required`: where and what, never the input itself.
fn fault(fault: &Value) -> Option<String> {
    let what = fault.get("msg")?.as_str()?;
    let place = fault.get("loc").and_then(Value::as_array).into_iter().flatten();
    let place: Vec<String> =
        place.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    Some(if place.is_empty() { what.to_owned() } else { format!("{}: {what}", place.join(".")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, code: &str, message: &str) {
        let error = error(http::StatusCode::from_u16(status).unwrap(), "/invoke", body.as_bytes());
        assert_eq!((error.code().id, error.message()), (code, message));
    }

    #[test]
    fn a_refusal_shows_the_apps_words_without_the_input() {
        let fastapi = r#"{"detail":[{"type":"missing","loc":["body","context"],"msg":"Field required",
            "input":{"query":"my prompt"}},{"loc":["body",0],"msg":"bad"}]}"#;
        let expect = "the app answered 422 Unprocessable Entity: body.context: Field required; body.0: bad";
        check(422, fastapi, "APP_REJECTED", expect);
        check(400, r#"{"detail":"too\nlong"}"#, "APP_REJECTED", "the app answered 400 Bad Request: too long");
        check(403, r#"{"error":{"message":"no"}}"#, "APP_REJECTED", "the app answered 403 Forbidden: no");
    }

    #[test]
    fn a_refusal_without_words_names_the_path() {
        for body in ["", "<html>", "[]", r#"{"detail":""}"#, r#"{"detail":7}"#] {
            check(404, body, "APP_REJECTED", "the app answered 404 Not Found at `/invoke`");
        }
    }

    #[test]
    fn words_are_bounded() {
        let body = format!(r#"{{"detail":"{}"}}"#, "x".repeat(5_000));
        let error = error(http::StatusCode::BAD_REQUEST, "/invoke", body.as_bytes());
        assert!(error.message().len() < 400);
    }

    #[test]
    fn a_failure_shows_nothing_of_the_app() {
        let trace = r#"{"detail":"Traceback: hunter2"}"#;
        check(500, trace, "APP_FAILED", "the app answered 500 Internal Server Error at `/invoke`");
        check(302, trace, "APP_FAILED", "the app answered 302 Found at `/invoke`");
    }
}
