//! What the brokers' adapters share: metadata of messages, without regard to case, and its faults.

use std::collections::BTreeMap;

use mainstay_core::{Error, codes};

/// A word of the metadata, if it is there and not empty.
pub(crate) fn word<'a>(metadata: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let exact = metadata.get(name);
    let found = exact.or_else(|| {
        metadata.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.map(String::as_str).filter(|value| !value.is_empty())
}

/// The failure of a request with a field that the broker cannot take.
pub(crate) fn invalid(field: &str, message: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, message.to_owned()).with_field(field)
}

/// Whether messages of a subscription are worked on one at a time, as `concurrencyMode` says it.
pub(crate) fn is_single(text: &str) -> Option<bool> {
    match text {
        "parallel" => Some(false),
        "single" => Some(true),
        _ => None,
    }
}
