//! Numbers: bounds, and the widths of whole numbers.

use mainstay_core::codes;
use serde_json::{Number, Value as Json};

use super::{At, Schema, Walk, text};
use crate::place::Span;

impl Walk<'_, '_> {
    pub(super) fn number(&mut self, number: &Number, span: Span, schema: &Schema, at: &At) -> Option<Json> {
        if schema.get("x-form").is_some_and(|form| form == "size") {
            let bytes = number.as_u64().map(u128::from);
            let fits =
                bytes.is_none_or(|n| self.within(n, &number.to_string(), text::size, span, schema, at));
            if !fits {
                return None;
            }
        }
        let value = number.as_f64().unwrap_or(f64::MAX);
        let broken = bounds(schema).into_iter().find(|bound| bound.breaks(value, number));
        if let Some(bound) = broken {
            let message = format!("{} must be {}, and is `{number}`", at.name(), bound.said);
            self.faults.at(span, &codes::CONFIG_VALUE, message, None);
            return None;
        }
        Some(number.clone().into())
    }
}

struct Bound {
    said: String,
    test: Test,
}

enum Test {
    Least(f64),
    Most(f64),
    Above(f64),
    Below(f64),
    Unsigned(u64),
    Signed(i64, i64),
}

impl Bound {
    fn breaks(&self, value: f64, number: &Number) -> bool {
        match self.test {
            Test::Least(limit) => value < limit,
            Test::Most(limit) => value > limit,
            Test::Above(limit) => value <= limit,
            Test::Below(limit) => value >= limit,
            Test::Unsigned(most) => number.as_u64().is_none_or(|n| n > most),
            Test::Signed(least, most) => number.as_i64().is_none_or(|n| n < least || n > most),
        }
    }
}

/// The bounds of a schema, those that were written first: they say more than a width does.
fn bounds(schema: &Schema) -> Vec<Bound> {
    let limit = |keyword: &str| schema.get(keyword).filter(|v| v.is_number());
    let bound = |keyword: &str, word: &str, test: fn(f64) -> Test| {
        limit(keyword)
            .and_then(|v| Some(Bound { said: word.replace('#', &shown(v)), test: test(v.as_f64()?) }))
    };
    let mut all: Vec<Bound> = [
        bound("minimum", "# at least", Test::Least),
        bound("maximum", "# at most", Test::Most),
        bound("exclusiveMinimum", "more than #", Test::Above),
        bound("exclusiveMaximum", "less than #", Test::Below),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.extend(schema.get("format").and_then(Json::as_str).and_then(width));
    all
}

/// A whole limit without its `.0`, which schemas of fractions carry.
fn shown(limit: &Json) -> String {
    let text = limit.to_string();
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn width(format: &str) -> Option<Bound> {
    let (test, least, most): (Test, String, String) = match format {
        "uint8" => (Test::Unsigned(u8::MAX.into()), "0".into(), u8::MAX.to_string()),
        "uint16" => (Test::Unsigned(u16::MAX.into()), "0".into(), u16::MAX.to_string()),
        "uint32" => (Test::Unsigned(u32::MAX.into()), "0".into(), u32::MAX.to_string()),
        "uint64" | "uint" => (Test::Unsigned(u64::MAX), "0".into(), u64::MAX.to_string()),
        "int8" => (Test::Signed(i8::MIN.into(), i8::MAX.into()), i8::MIN.to_string(), i8::MAX.to_string()),
        "int16" => {
            (Test::Signed(i16::MIN.into(), i16::MAX.into()), i16::MIN.to_string(), i16::MAX.to_string())
        }
        "int32" => {
            (Test::Signed(i32::MIN.into(), i32::MAX.into()), i32::MIN.to_string(), i32::MAX.to_string())
        }
        "int64" | "int" => (Test::Signed(i64::MIN, i64::MAX), i64::MIN.to_string(), i64::MAX.to_string()),
        _ => return None,
    };
    Some(Bound { said: format!("a whole number from {least} to {most}"), test })
}
