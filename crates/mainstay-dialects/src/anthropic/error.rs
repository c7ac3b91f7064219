//! Errors, both ways.

use bytes::Bytes;
use mainstay_core::{Error, Kind, codes};
use serde_json::{Value, json};

use crate::codec::ErrorAnswer;
use crate::failure::{self, Class};
use crate::{sse, status as by_class};

/// The service's own status for being overloaded.
const OVERLOADED: u16 = 529;

/// The status of the service for such an error.
pub fn status(error: &Error) -> u16 {
    match error.code() {
        code if code == &codes::OVERLOADED => OVERLOADED,
        code if code == &codes::PROVIDER_QUOTA => 402,
        _ => by_class::of(error),
    }
}

/// Writes an error body; see [`crate::Codec::encode_error`].
pub fn encode_error(error: &Error, request_id: Option<&str>) -> Bytes {
    Bytes::from(body(error, request_id).to_string())
}

/// Writes an error as the last event of a stream.
pub fn encode_stream_error(error: &Error, request_id: Option<&str>) -> Bytes {
    let mut out = Vec::new();
    sse::write(&mut out, Some("error"), body(error, request_id).to_string().as_bytes());
    out.into()
}

fn body(error: &Error, request_id: Option<&str>) -> Value {
    let error = json!({"type": kind(error), "message": by_class::message(error)});
    let mut out = json!({"type": "error", "error": error});
    if let Some(id) = request_id {
        out["request_id"] = id.into();
    }
    out
}

fn kind(error: &Error) -> &'static str {
    match error.code() {
        code if code == &codes::OVERLOADED => return "overloaded_error",
        code if code == &codes::PROVIDER_QUOTA => return "billing_error",
        code if code == &codes::BODY_TOO_LARGE => return "request_too_large",
        _ => {}
    }
    match error.kind() {
        Kind::NotFound => "not_found_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::PermissionDenied => "permission_error",
        Kind::RateLimited => "rate_limit_error",
        Kind::Timeout => "timeout_error",
        Kind::Unavailable | Kind::Internal => "api_error",
        Kind::Conflict | Kind::InvalidArgument | Kind::Unsupported => "invalid_request_error",
    }
}

/// What a failed answer means; see [`crate::Codec::decode_error`].
pub fn decode_error(answer: &ErrorAnswer<'_>) -> Error {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let wire = &body["error"];
    let named = named(wire).filter(|class| !matches!(class, Class::Invalid | Class::Unavailable));
    let by_status = Class::of_status(answer.status);
    failure::error(answer, named.unwrap_or(by_status), &identifiers(wire), None)
}

/// What an error event means.
pub(super) fn in_stream(wire: &Value) -> Error {
    failure::in_stream(named(wire).unwrap_or(Class::Unavailable), &identifiers(wire))
}

fn named(wire: &Value) -> Option<Class> {
    Some(match wire["type"].as_str()? {
        "authentication_error" | "permission_error" => Class::Auth,
        "billing_error" => Class::Quota,
        "rate_limit_error" => Class::RateLimited,
        "not_found_error" => Class::UnknownModel,
        "timeout_error" => Class::Timeout,
        "overloaded_error" | "api_error" => Class::Unavailable,
        "invalid_request_error" => by_sentence(wire["message"].as_str().unwrap_or_default()),
        _ => return None,
    })
}

/// Two faults have no type of their own and are told by their sentence alone.
fn by_sentence(message: &str) -> Class {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["credit balance", "usage limits", "spend limit"]) {
        Class::Quota
    } else if says(&["content filtering policy"]) {
        Class::ContentFilter
    } else {
        Class::Invalid
    }
}

fn identifiers(wire: &Value) -> [(&'static str, Option<&str>); 1] {
    [("type", wire["type"].as_str())]
}
