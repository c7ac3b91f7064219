//! Service invocation between the two wire formats: which status is which code, which header is which metadata.

use std::borrow::Cow;

use mainstay_core::methods::CallStatus;
use serde_json::{Value, json};

/// Metadata and header: the app that calls.
pub const CALLER: &str = "dapr-caller-app-id";
/// Metadata and header: its namespace.
pub const CALLER_NAMESPACE: &str = "dapr-caller-namespace";
/// Metadata and header: the app that is called.
pub const CALLEE: &str = "dapr-callee-app-id";
/// Metadata and header: the app that is to be called.
pub const APP_ID: &str = "dapr-app-id";
/// What begins the names of headers that runtimes tell each other, and apps never see.
pub const BETWEEN_RUNTIMES: &str = "mainstay-";
/// Between two runtimes: the type of content that is a message of its own.
pub const TYPE_URL: &str = "mainstay-type-url";
/// Between two runtimes: the caller's trust domain.
pub const CALLER_TRUST_DOMAIN: &str = "mainstay-caller-trust-domain";
/// The namespace of apps that have none.
pub const NAMESPACE: &str = "default";

/// Headers of requests that have a meaning of their own; as metadata they get the prefix.
const OF_REQUESTS: [&str; 25] = [
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "via",
    "warning",
];
const PREFIX: &str = "dapr-";

/// The metadata that a header becomes.
#[must_use]
pub fn metadata_of(header: &str) -> Cow<'_, str> {
    if OF_REQUESTS.contains(&header) { format!("{PREFIX}{header}").into() } else { header.into() }
}

/// The header that metadata becomes; binary metadata becomes none, and the content has a type of its own.
#[must_use]
pub fn header_of(metadata: &str) -> Option<Cow<'_, str>> {
    if metadata.ends_with("-bin") || metadata == "content-type" {
        return None;
    }
    Some(if metadata.starts_with("grpc-") { format!("{PREFIX}{metadata}").into() } else { metadata.into() })
}

/// The HTTP status of a code (google/rpc/code.proto).
#[must_use]
pub fn http_status(code: u8) -> u16 {
    match code {
        0 => 200,
        1 => 408,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// The code of an HTTP status that an app answered with.
#[must_use]
pub fn code(http_status: u16) -> u8 {
    match http_status {
        200..=299 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 5,
        408 => 1,
        409 => 6,
        429 => 8,
        501 => 12,
        503 => 14,
        504 => 4,
        _ => 2,
    }
}

/// A failed call as JSON (google.rpc.Status).
#[must_use]
pub fn status_json(status: &CallStatus) -> Value {
    json!({"code": status.code, "message": status.message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_codes_are_the_protocols_pairs() {
        let http: Vec<_> = (0..=17).map(http_status).collect();
        let wanted =
            [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500];
        assert_eq!(http, wanted);
        for (status, wanted) in [(204, 0), (302, 2), (400, 13), (404, 5), (418, 2), (500, 2), (503, 14)] {
            assert_eq!(code(status), wanted, "{status}");
        }
    }

    #[test]
    fn headers_and_metadata_are_told_apart() {
        assert_eq!(
            (metadata_of("content-type"), metadata_of("x-mine")),
            ("dapr-content-type".into(), "x-mine".into())
        );
        assert_eq!(header_of("grpc-timeout").as_deref(), Some("dapr-grpc-timeout"));
        assert_eq!(
            (header_of("x-bin"), header_of("content-type"), header_of("x").as_deref()),
            (None, None, Some("x"))
        );
    }
}
