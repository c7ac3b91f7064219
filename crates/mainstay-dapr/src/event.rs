//! A message's envelope (CloudEvents 1.0, JSON format) taken apart, as gRPC hands it to an app.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

/// The parts of an envelope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Who published it.
    pub source: String,
    /// Its type.
    pub kind: String,
    /// The version of the format.
    pub spec_version: String,
    /// What the content is.
    pub content_type: String,
    /// The content: bytes as published, JSON as it stands in the envelope, text without its quotes.
    pub data: Bytes,
    /// Everything else, by name.
    pub extensions: BTreeMap<String, Value>,
}

impl Event {
    /// Takes an envelope apart. Errors: why it is none.
    pub fn read(envelope: &[u8]) -> Result<Self, String> {
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(envelope).map_err(|error| format!("it is no JSON object: {error}"))?;
        // What is no text counts as absent.
        let mut text = |name: &str| {
            let member = members.remove(name);
            member.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()).unwrap_or_default()
        };
        let mut event = Self {
            id: text("id"),
            source: text("source"),
            kind: text("type"),
            spec_version: text("specversion"),
            content_type: text("datacontenttype"),
            ..Self::default()
        };
        let (data, base64) = (members.remove("data"), members.remove("data_base64"));
        event.data = match (base64.filter(|raw| !is_null(raw)), data.filter(|raw| !is_null(raw))) {
            (Some(base64), _) => decoded(&base64)?,
            (None, Some(data)) => content(&data, &event.content_type),
            (None, None) => Bytes::new(),
        };
        let other =
            members.into_iter().map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)));
        event.extensions = other.flatten().collect();
        Ok(event)
    }
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn decoded(raw: &RawValue) -> Result<Bytes, String> {
    let text = serde_json::from_str::<String>(raw.get()).map_err(|_| "its `data_base64` is no text")?;
    let bytes =
        STANDARD.decode(text).map_err(|error| format!("its `data_base64` cannot be decoded: {error}"))?;
    Ok(bytes.into())
}

fn content(raw: &RawValue, content_type: &str) -> Bytes {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    let text = if is_json { None } else { serde_json::from_str::<String>(raw.get()).ok() };
    text.map_or_else(|| Bytes::copy_from_slice(raw.get().as_bytes()), Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(members: &str, content: &[u8]) {
        let event = Event::read(format!("{{\"id\":\"7\",{members}}}").as_bytes()).unwrap();
        assert_eq!((event.id.as_str(), &*event.data), ("7", content), "{members}");
    }

    #[test]
    fn content_is_what_was_published() {
        check(
            r#""datacontenttype":"application/json","data":{"n": 12345678901234567890123}"#,
            br#"{"n": 12345678901234567890123}"#,
        );
        check(r#""datacontenttype":"application/json","data":"x""#, br#""x""#);
        check(r#""datacontenttype":"text/plain; charset=utf-8","data":"x""#, b"x");
        check(r#""data":"x""#, b"x");
        check(r#""data":[1]"#, b"[1]");
        check(r#""datacontenttype":"application/octet-stream","data_base64":"AP8=""#, &[0, 255]);
        check(r#""data":null"#, b"");
        check(r#""x":1"#, b"");
    }

    #[test]
    fn what_has_no_place_of_its_own_is_an_extension() {
        let text = br#"{"id":"7","type":"t","source":"s","specversion":"1.0","topic":"orders","traceid":"00-x","n":1}"#;
        let event = Event::read(text).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.source.as_str(), event.spec_version.as_str()),
            ("t", "s", "1.0")
        );
        let wanted = [("n", json!(1)), ("topic", json!("orders")), ("traceid", json!("00-x"))];
        assert_eq!(event.extensions, wanted.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for bad in ["", "[]", "x", r#"{"data_base64":"?"}"#, r#"{"data_base64":1}"#] {
            assert!(Event::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
