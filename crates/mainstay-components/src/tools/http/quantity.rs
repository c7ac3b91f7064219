//! Durations and sizes as the spec writes them, with the schema that config's checks know: `30s`, `1MiB`.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) struct Time(pub(in crate::tools) Duration);

/// A number of bytes: a whole number, alone or with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) struct Size(pub(in crate::tools) u64);

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
const TIME_PATTERN: &str = "^[0-9]{1,10}(ms|s|m|h|d)$";
const SIZE_PATTERN: &str = "^[0-9]{1,15}(B|kB|KB|MB|GB|TB|KiB|MiB|GiB)?$";

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ms = parse(&text, &TIMES).ok_or_else(|| de::Error::custom("not a duration"))?;
        Ok(Self(Duration::from_millis(ms)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => parse(&text, &SIZES),
            other => other.as_u64(),
        };
        bytes.map(Self).ok_or_else(|| de::Error::custom("not a size"))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration", "type": "string", "pattern": TIME_PATTERN, "x-form": "duration",
            "examples": ["250ms", "30s", "5m"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size", "type": ["string", "integer"], "minimum": 0, "pattern": SIZE_PATTERN, "x-form": "size",
            "examples": ["64KiB", "1MiB", 1_048_576],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(parse(text, &TIMES), expect, "{text:?}");
        check("250ms", Some(250));
        check("2m", Some(120_000));
        for bad in ["", "30", "s", "1.5s", "-1s", "1h30m", "18446744073709551615d"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_size_is_a_number_or_a_text() {
        let size = |json: &str| serde_json::from_str::<Size>(json).map(|size| size.0).ok();
        assert_eq!((size("1024"), size("\"1KiB\""), size("\"1kB\"")), (Some(1024), Some(1024), Some(1000)));
        assert_eq!((size("-1"), size("\"1 KiB\""), size("1.5")), (None, None, None));
    }
}
