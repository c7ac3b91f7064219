//! Errors, both ways.

use bytes::Bytes;
use mainstay_core::{Code, Error, Kind, codes};
use serde_json::{Value, json};

use crate::codec::ErrorAnswer;
use crate::failure::{self, Class};
use crate::{sse, status as by_class};

/// What the provider's identifiers mean, whatever the status.
const NAMES: &[(&str, Class)] = &[
    ("insufficient_quota", Class::Quota),
    ("credit_balance_exhausted", Class::Quota),
    ("billing_hard_limit_reached", Class::Quota),
    ("billing_not_active", Class::Quota),
    ("spend_limit_exceeded", Class::Quota),
    ("rate_limit_exceeded", Class::RateLimited),
    ("slow_down", Class::RateLimited),
    ("server_is_overloaded", Class::Unavailable),
    ("content_filter", Class::ContentFilter),
    ("content_policy_violation", Class::ContentFilter),
    ("invalid_api_key", Class::Auth),
    ("model_not_found", Class::UnknownModel),
    ("server_error", Class::Unavailable),
    ("invalid_request_error", Class::Invalid),
];

/// The status of the service for such an error.
pub fn status(error: &Error) -> u16 {
    by_class::of(error)
}

/// Writes an error body; see [`crate::Codec::encode_error`].
pub fn encode_error(error: &Error, _request_id: Option<&str>) -> Bytes {
    Bytes::from(body(error).to_string())
}

/// Writes an error as the last frame of a stream.
pub fn encode_stream_error(error: &Error, _request_id: Option<&str>) -> Bytes {
    let mut out = Vec::new();
    sse::write(&mut out, None, body(error).to_string().as_bytes());
    out.into()
}

fn body(error: &Error) -> Value {
    json!({"error": {
        "message": by_class::message(error),
        "type": kind(error),
        "param": error.field(),
        "code": code(error),
    }})
}

fn kind(error: &Error) -> &'static str {
    if error.code() == &codes::PROVIDER_QUOTA {
        return "insufficient_quota";
    }
    match error.kind() {
        Kind::RateLimited => "rate_limit_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::PermissionDenied => "permission_error",
        Kind::Unavailable | Kind::Timeout | Kind::Internal => "server_error",
        Kind::NotFound | Kind::Conflict | Kind::InvalidArgument | Kind::Unsupported => {
            "invalid_request_error"
        }
    }
}

/// The codes that clients of the dialect act on; elsewhere our own.
fn code(error: &Error) -> &'static str {
    let twins: [(&Code, &str); 9] = [
        (&codes::MODEL_NOT_FOUND, "model_not_found"),
        (&codes::PROVIDER_MODEL_NOT_FOUND, "model_not_found"),
        (&codes::UNAUTHENTICATED, "invalid_api_key"),
        (&codes::RATE_LIMITED, "rate_limit_exceeded"),
        (&codes::CONCURRENCY_LIMITED, "rate_limit_exceeded"),
        (&codes::PROVIDER_RATE_LIMITED, "rate_limit_exceeded"),
        (&codes::PROVIDER_QUOTA, "insufficient_quota"),
        (&codes::PROVIDER_CONTENT_FILTER, "content_filter"),
        (&codes::OVERLOADED, "server_is_overloaded"),
    ];
    twins.iter().find(|(ours, _)| *ours == error.code()).map_or(error.code().id, |(_, twin)| twin)
}

/// What a failed answer means; see [`crate::Codec::decode_error`].
pub fn decode_error(answer: &ErrorAnswer<'_>) -> Error {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    // Google's compatible endpoint wraps the body in a list.
    let wire = if body.is_array() { &body[0]["error"] } else { &body["error"] };
    let named = named(wire);
    let by_status = Class::of_status(answer.status);
    // A general word does not overrule a status that says more.
    let general = matches!(named, None | Some(Class::Invalid | Class::Unavailable));
    let class = if general { by_status } else { named.unwrap_or(by_status) };
    failure::error(answer, class, &identifiers(wire), None)
}

/// What an error object in a stream means.
pub(super) fn in_stream(wire: &Value) -> Error {
    let status = wire["code"].as_u64().or_else(|| wire["status"].as_u64());
    let by_status = status.and_then(|s| u16::try_from(s).ok()).map(Class::of_status);
    failure::in_stream(named(wire).or(by_status).unwrap_or(Class::Unavailable), &identifiers(wire))
}

fn named(wire: &Value) -> Option<Class> {
    let class = |word: &Value| NAMES.iter().find(|(name, _)| word == name).map(|(_, class)| *class);
    class(&wire["code"]).or_else(|| class(&wire["type"]))
}

fn identifiers(wire: &Value) -> [(&'static str, Option<&str>); 3] {
    ["type", "code", "param"].map(|key| (key, wire[key].as_str()))
}
