//! Metadata of calls, as text by name.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, KeyAndValueRef, MetadataMap};

/// Names that are the transport's.
const OF_TRANSPORT: [&str; 5] = ["content-type", "te", "user-agent", "host", "content-length"];

/// Adds a value. What does not fit metadata stays behind, and what the transport says itself.
pub(super) fn put(metadata: &mut MetadataMap, name: &str, value: &str) {
    let name = name.to_ascii_lowercase();
    if name.starts_with("grpc-") || name.ends_with("-bin") || OF_TRANSPORT.contains(&name.as_str()) {
        return;
    }
    if let (Ok(name), Ok(value)) = (AsciiMetadataKey::from_str(&name), AsciiMetadataValue::try_from(value)) {
        metadata.append(name, value);
    }
}

/// Adds a trace, in the form of today and in the one that older servers read, and what is said of it.
pub(super) fn trace(metadata: &mut MetadataMap, trace: &str, state: Option<&str>) {
    if let Some(value) = state.and_then(|state| AsciiMetadataValue::try_from(state).ok()) {
        metadata.insert("tracestate", value);
    }
    if let Ok(value) = AsciiMetadataValue::try_from(trace) {
        metadata.insert("traceparent", value);
    }
    if let Some(bytes) = in_binary(trace) {
        metadata.insert_bin("grpc-trace-bin", tonic::metadata::BinaryMetadataValue::from_bytes(&bytes));
    }
}

/// A W3C `traceparent` in binary: version 0, then fields of a number and a fixed length, of which 0 is the trace's id
/// (16 bytes), 1 the span's (8) and 2 the flags (1).
fn in_binary(trace: &str) -> Option<Vec<u8>> {
    let mut parts = trace.split('-').skip(1);
    let mut part = |length: usize| {
        let text = parts.next().filter(|text| text.len() == length * 2 && text.is_ascii())?;
        let byte = |at: usize| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok();
        (0..length).map(byte).collect::<Option<Vec<u8>>>()
    };
    let (trace, span, flags) = (part(16)?, part(8)?, part(1)?);
    Some([&[0, 0], &*trace, &[1], &*span, &[2], &*flags].concat())
}

/// What an app says, by name; binary values in base64, as the wire has them.
pub(super) fn read(metadata: &MetadataMap) -> Vec<(String, String)> {
    let text = |entry: KeyAndValueRef<'_>| match entry {
        KeyAndValueRef::Ascii(name, value) => {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        }
        KeyAndValueRef::Binary(name, value) => {
            Some((name.as_str().to_owned(), STANDARD_NO_PAD.encode(value.to_bytes().ok()?)))
        }
    };
    metadata.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_transport_says_itself_stays_behind() {
        let mut metadata = MetadataMap::new();
        for (name, value) in
            [("X-Mine", "1"), ("grpc-timeout", "1S"), ("te", "x"), ("a b", "1"), ("y", "ä\n"), ("z-bin", "1")]
        {
            put(&mut metadata, name, value);
        }
        assert_eq!(read(&metadata), [("x-mine".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_trace_is_told_in_both_forms() {
        let mut metadata = MetadataMap::new();
        trace(&mut metadata, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("v=1"));
        assert_eq!(metadata.get("tracestate").unwrap(), "v=1");
        let binary = metadata.get_bin("grpc-trace-bin").unwrap().to_bytes().unwrap();
        assert_eq!((binary.len(), &binary[..3], binary[28]), (29, &[0, 0, 0x4b][..], 1));
        assert!(in_binary("00-zz").is_none() && in_binary("").is_none());
    }
}
