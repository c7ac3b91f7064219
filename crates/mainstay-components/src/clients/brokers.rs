//! What the brokers' adapters share: metadata of messages, without regard to case, and its faults.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::pubsub::Message;
use mainstay_core::{Error, codes};

/// A word of the metadata, if it is there and not empty.
pub(crate) fn word<'a>(metadata: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let exact = metadata.get(name);
    let found = exact.or_else(|| {
        metadata.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.map(String::as_str).filter(|value| !value.is_empty())
}

/// How long a message is to live, where it says so. Errors: `INVALID_FIELD` for what is no time.
pub(crate) fn ttl(message: &Message) -> Result<Option<Duration>, Error> {
    let Some(text) = message.metadata.get(Message::TTL) else { return Ok(None) };
    let seconds: Option<u32> = text.parse().ok().filter(|seconds| *seconds > 0);
    let refused = || {
        let name = Message::TTL;
        invalid(
            &format!("metadata.{name}"),
            &format!("`{name}` must be a whole number of seconds above zero"),
        )
    };
    seconds.map(|seconds| Some(Duration::from_secs(seconds.into()))).ok_or_else(refused)
}

/// The failure of a request with a field that the broker cannot take.
pub(crate) fn invalid(field: &str, message: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, message.to_owned()).with_field(field)
}
