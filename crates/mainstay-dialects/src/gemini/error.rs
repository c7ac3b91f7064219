//! Errors, both ways: `google.rpc.Status`.

use std::time::Duration;

use bytes::Bytes;
use mainstay_core::{Error, Kind, codes};
use serde_json::{Value, json};

use crate::codec::ErrorAnswer;
use crate::failure::{self, Class};
use crate::{sse, status as by_class};

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// The status of the service for such an error.
pub fn status(error: &Error) -> u16 {
    by_class::of(error)
}

/// Writes an error body; see [`crate::Codec::encode_error`].
pub fn encode_error(error: &Error, request_id: Option<&str>) -> Bytes {
    Bytes::from(body(error, request_id).to_string())
}

/// Writes an error as the last frame of a stream.
pub fn encode_stream_error(error: &Error, request_id: Option<&str>) -> Bytes {
    let mut out = Vec::new();
    sse::write(&mut out, None, body(error, request_id).to_string().as_bytes());
    out.into()
}

fn body(error: &Error, request_id: Option<&str>) -> Value {
    let reason = json!({"@type": ERROR_INFO, "reason": error.code().id, "domain": "mainstay"});
    let mut details = vec![reason];
    if let Some(id) = request_id {
        details[0]["metadata"] = json!({"request_id": id});
    }
    if let Some(wait) = error.retry_after() {
        details.push(json!({"@type": RETRY_INFO, "retryDelay": format!("{}s", wait.as_secs_f64())}));
    }
    json!({"error": {
        "code": status(error),
        "message": by_class::message(error),
        "status": word(error),
        "details": details,
    }})
}

fn word(error: &Error) -> &'static str {
    if error.code() == &codes::PROVIDER_BAD_RESPONSE {
        return "INTERNAL";
    }
    match error.kind() {
        Kind::NotFound => "NOT_FOUND",
        Kind::Conflict => "ABORTED",
        Kind::InvalidArgument => "INVALID_ARGUMENT",
        Kind::Unauthenticated => "UNAUTHENTICATED",
        Kind::PermissionDenied => "PERMISSION_DENIED",
        Kind::RateLimited => "RESOURCE_EXHAUSTED",
        Kind::Unavailable => "UNAVAILABLE",
        Kind::Timeout => "DEADLINE_EXCEEDED",
        Kind::Unsupported => "UNIMPLEMENTED",
        Kind::Internal => "INTERNAL",
    }
}

/// What a failed answer means; see [`crate::Codec::decode_error`].
pub fn decode_error(answer: &ErrorAnswer<'_>) -> Error {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    // A stream that fails before it begins answers with a list of one.
    let wire = if body.is_array() { &body[0]["error"] } else { &body["error"] };
    let class = named(wire).unwrap_or_else(|| Class::of_status(answer.status));
    failure::error(answer, class, &identifiers(wire), retry_delay(wire))
}

/// What an error object in a stream means.
pub(super) fn in_stream(wire: &Value) -> Error {
    failure::in_stream(named(wire).unwrap_or(Class::Unavailable), &identifiers(wire))
}

fn named(wire: &Value) -> Option<Class> {
    Some(match wire["status"].as_str()? {
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Class::Auth,
        "INVALID_ARGUMENT" if reason(wire) == Some("API_KEY_INVALID") => Class::Auth,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "UNIMPLEMENTED" => Class::Invalid,
        "NOT_FOUND" => Class::UnknownModel,
        "RESOURCE_EXHAUSTED" if used_up(wire) => Class::Quota,
        "RESOURCE_EXHAUSTED" => Class::RateLimited,
        "DEADLINE_EXCEEDED" => Class::Timeout,
        "UNAVAILABLE" | "INTERNAL" | "ABORTED" | "CANCELLED" | "UNKNOWN" => Class::Unavailable,
        _ => return None,
    })
}

fn details<'a>(wire: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let suffix = move |detail: &&Value| detail["@type"].as_str().is_some_and(|t| t.ends_with(kind));
    wire["details"].as_array().into_iter().flatten().filter(suffix)
}

fn reason(wire: &Value) -> Option<&str> {
    details(wire, "google.rpc.ErrorInfo").find_map(|detail| detail["reason"].as_str())
}

/// A quota for the day does not come back within a retry; one for the minute does.
fn used_up(wire: &Value) -> bool {
    details(wire, "google.rpc.QuotaFailure")
        .flat_map(|detail| detail["violations"].as_array().into_iter().flatten())
        .any(|violation| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
}

fn retry_delay(wire: &Value) -> Option<Duration> {
    details(wire, "google.rpc.RetryInfo")
        .find_map(|detail| failure::protobuf_duration(detail["retryDelay"].as_str()?))
}

fn identifiers(wire: &Value) -> [(&'static str, Option<&str>); 2] {
    [("status", wire["status"].as_str()), ("reason", reason(wire))]
}
