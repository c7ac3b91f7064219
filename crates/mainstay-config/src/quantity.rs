//! Durations and sizes as people write them: `30s`, `250ms`, `1MiB`. Checks no bound; the schema does.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// A number of bytes: a whole number, alone or with `B`, `kB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// Units of time, in milliseconds, the largest first.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of size, in bytes, the largest binary one first; those after `B` are read but never written.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
const TIME_PATTERN: &str = "^[0-9]{1,10}(ms|s|m|h|d)$";
const SIZE_PATTERN: &str = "^[0-9]{1,15}(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$";

impl Time {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let (_, ms) = TIMES.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*ms).map(|ms| Self(Duration::from_millis(ms)))
    }

    fn text(self) -> String {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let unit = TIMES.iter().find(|(_, size)| ms % size == 0 && (ms > 0 || *size == 1_000));
        let (name, size) = unit.unwrap_or(&("ms", 1));
        format!("{}{name}", ms / size)
    }
}

impl Size {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*bytes).map(Self)
    }

    fn text(self) -> String {
        let written = SIZES.iter().take(5).find(|(_, size)| self.0.is_multiple_of(*size) && self.0 > 0);
        let (name, size) = written.unwrap_or(&("B", 1));
        format!("{}{name}", self.0 / size)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, &text[digits..]))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a duration"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Self::parse(&text),
            other => other.as_u64().map(Self),
        };
        parsed.ok_or_else(|| de::Error::custom("not a size"))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration", "type": "string", "pattern": TIME_PATTERN, "x-form": "duration",
            "examples": ["250ms", "30s", "5m", "1h", "7d"],
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
            "examples": ["64KiB", "1MiB", "10MB", 1048576],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_fit() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(Time::parse(text).map(|t| t.0.as_millis() as u64), expect, "{text:?}");
        };
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("7d", Some(604_800_000));
        for bad in
            ["", "30", "s", "1.5s", "-1s", "1h30m", "30 s", "99999999999999999999s", "9999999999999999d"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn sizes_are_bytes_with_or_without_a_unit() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(Size::parse(text).map(|s| s.0), expect, "{text:?}");
        };
        check("1MiB", Some(1 << 20));
        check("10MB", Some(10_000_000));
        check("64", Some(64));
        for bad in ["", "MiB", "1mib", "1 MiB", "-1", "99999999999999999TiB"] {
            check(bad, None);
        }
    }

    #[test]
    fn quantities_are_written_in_their_largest_unit() {
        for text in ["250ms", "90s", "5m", "1d", "0s"] {
            assert_eq!(Time::parse(text).unwrap().text(), text);
        }
        for text in ["1MiB", "1536KiB", "1GiB", "7B"] {
            assert_eq!(Size::parse(text).unwrap().text(), text);
        }
    }
}
