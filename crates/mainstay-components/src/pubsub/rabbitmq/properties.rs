//! Metadata of messages as RabbitMQ has it: what the protocol has a property for is one, and the rest are headers. So
//! the reason of a dead letter, and the trace of a message without an envelope, come with it.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use mainstay_core::Result;
use mainstay_core::pubsub::Message;

use super::settings::Options;
use super::topology::short;
use crate::clients::brokers::{invalid, word};

/// Metadata that does not go as a header: it is a property, or the key that the message is routed by.
const PROPERTIES: [&str; 7] =
    ["contentType", "correlationID", "messageId", "priority", "routingKey", "type", Message::TTL];

/// Most bytes of all headers of a message. They and the other properties are one frame, which has 131,072 bytes by the
/// server's default.
const HEADER_BYTES_MAX: usize = 128_000;

/// Longest name of a header, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What goes with a message. Errors: `INVALID_FIELD` for metadata that the server cannot take.
pub(super) fn of(message: &Message, options: &Options) -> Result<BasicProperties> {
    let word = |name| word(&message.metadata, name);
    let short = |text: &str, name: &str| short(text, &format!("metadata.{name}"));
    let content_type = word("contentType").or(message.content_type.as_deref()).unwrap_or("text/plain");
    let mut properties = BasicProperties::default().with_content_type(short(content_type, "contentType")?);
    // The protocol knows 1 and 2; Dapr's 0 says nothing.
    if options.delivery_mode > 0 {
        properties = properties.with_delivery_mode(options.delivery_mode);
    }
    if let Some(ttl) = ttl(message)?.or(options.ttl) {
        properties = properties.with_expiration(ttl.as_millis().to_string().into());
    }
    if let Some(priority) = word("priority") {
        let refused = |_| invalid("metadata.priority", "`priority` must be a whole number from 0");
        let priority: u32 = priority.parse().map_err(refused)?;
        properties = properties.with_priority(u8::try_from(priority).unwrap_or(u8::MAX));
    }
    if let Some(id) = word("messageId") {
        properties = properties.with_message_id(short(id, "messageId")?);
    }
    if let Some(id) = word("correlationId") {
        properties = properties.with_correlation_id(short(id, "correlationId")?);
    }
    if let Some(kind) = word("type") {
        properties = properties.with_type(short(kind, "type")?);
    }
    let headers = headers(&message.metadata)?;
    Ok(if headers.inner().is_empty() { properties } else { properties.with_headers(headers) })
}

/// How long a message is to live, where it says so. Errors: `INVALID_FIELD` for what is no time.
fn ttl(message: &Message) -> Result<Option<Duration>> {
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

fn headers(metadata: &BTreeMap<String, String>) -> Result<FieldTable> {
    let is_property = |name: &str| PROPERTIES.iter().any(|known| known.eq_ignore_ascii_case(name));
    // A name that no header can have is not sent: it is nothing to refuse a message for.
    let are_headers = |name: &str| !is_property(name) && !is_servers(name) && name.len() <= NAME_BYTES_MAX;
    let headers: Vec<_> = metadata.iter().filter(|(name, _)| are_headers(name)).collect();
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        let message = format!("RabbitMQ takes {HEADER_BYTES_MAX} bytes of metadata, and there are {bytes}");
        return Err(invalid("metadata", &message));
    }
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    Ok(table)
}

/// Whether a header is the server's own: what it says of a message, and what it takes for an order. One that came with
/// a message is not to go out with it again.
fn is_servers(name: &str) -> bool {
    let told =
        ["x-death", "x-delivery-count", "x-first-death", "x-last-death", "x-received-from", "x-stream"];
    let ordered = ["CC", "BCC"];
    ordered.contains(&name) || told.iter().any(|begin| name.starts_with(begin))
}

/// The metadata of a message that came: its headers of text, and with `everything` all headers and properties, as
/// Dapr's setting `publishMessagePropertiesToMetadata` has them.
pub(super) fn metadata(properties: &BasicProperties, everything: bool) -> BTreeMap<String, String> {
    let headers = properties.headers().iter().flat_map(|headers| headers.inner());
    let headers = headers.filter(|(name, value)| {
        everything || (matches!(value, AMQPValue::LongString(_)) && !is_servers(name.as_str()))
    });
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), shown(value)?)));
    let known = [
        ("messageid", properties.message_id()),
        ("correlationid", properties.correlation_id()),
        ("type", properties.kind()),
        ("contenttype", properties.content_type()),
    ];
    let known = known.into_iter().filter(|_| everything);
    let known = known.filter_map(|(name, value)| Some((name.to_owned(), value.as_ref()?.to_string())));
    known.chain(headers).collect()
}

fn shown(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into_owned(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_a_property_or_the_servers_own_is_no_header() {
        let given = map(&[
            ("deadLetterReason", "why"),
            ("Priority", "1"),
            ("messageid", "m"),
            ("ttlInSeconds", "5"),
            ("CC", "other"),
            ("x-first-death-queue", "q"),
            (&"n".repeat(256), "too long a name"),
        ]);
        let sent = BasicProperties::default().with_headers(headers(&given).unwrap());
        assert_eq!(metadata(&sent, false), map(&[("deadLetterReason", "why")]));
        let long = map(&[("a", &"x".repeat(HEADER_BYTES_MAX))]);
        assert_eq!(headers(&long).unwrap_err().field(), Some("metadata"));
    }

    #[test]
    fn headers_of_other_types_and_properties_are_told_where_that_is_set() {
        let mut table = FieldTable::default();
        table.insert("n".into(), AMQPValue::LongInt(7));
        table.insert("x-first-death-queue".into(), AMQPValue::LongString("q".into()));
        let came = BasicProperties::default().with_headers(table).with_type("t".into());
        assert_eq!(metadata(&came, false), map(&[]));
        assert_eq!(metadata(&came, true), map(&[("n", "7"), ("type", "t"), ("x-first-death-queue", "q")]));
    }
}
