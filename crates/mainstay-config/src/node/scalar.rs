//! What a plain scalar means: the YAML 1.2 core schema. Quoted scalars are text and never come here.

use serde_json::Number;

use super::Value;

/// Resolves a plain scalar. The error is a message without the value.
pub(super) fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return number.map(Value::Number);
    }
    if let Some(number) = float(text) {
        return number.map(Value::Number);
    }
    Ok(Value::Text(text.to_owned()))
}

const TOO_LARGE: &str = "the number is too large";

fn integer(text: &str) -> Option<Result<Number, &'static str>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let based = |prefix: &str, base: u32| {
        let digits =
            text.strip_prefix(prefix).filter(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(base)))?;
        Some(u64::from_str_radix(digits, base).map(Number::from).map_err(|_| TOO_LARGE))
    };
    if let Some(number) = based("0x", 16).or_else(|| based("0o", 8)) {
        return Some(number);
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let signed = text.parse::<i64>().map(Number::from);
    Some(signed.or_else(|_| text.parse::<u64>().map(Number::from)).map_err(|_| TOO_LARGE))
}

fn float(text: &str) -> Option<Result<Number, &'static str>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err("infinity and NaN are no values here"));
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !numeric || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    Some(Number::from_f64(value).ok_or(TOO_LARGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: serde_json::Value) {
        let node = super::super::Node { value: resolve(text).unwrap(), span: crate::Span::default() };
        assert_eq!(node.to_json(), expect, "{text:?}");
    }

    #[test]
    fn numbers_booleans_and_null_are_those_of_the_core_schema() {
        check("", serde_json::Value::Null);
        check("~", serde_json::Value::Null);
        check("true", true.into());
        check("8080", 8080.into());
        check("-1", (-1).into());
        check("0x1F", 31.into());
        check("0o17", 15.into());
        check("18446744073709551615", u64::MAX.into());
        check("0.25", 0.25.into());
        check("1e3", 1000.0.into());
    }

    #[test]
    fn nothing_else_is_retyped() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "2026-11-21",
            "12:30",
            "1_000",
            "1.2.3",
            "-",
            ".",
            "e5",
            "1e",
            "0x",
            "0o9",
            "0b1",
            "+",
            "inf",
            "nan",
            "tRue",
            "nUll",
            "30s",
            "1MiB",
            "=",
            "<<",
        ] {
            check(text, text.into());
        }
    }

    #[test]
    fn numbers_without_a_json_form_are_refused() {
        for text in ["99999999999999999999", ".inf", "-.INF", ".nan", "1e999", "0xfffffffffffffffff"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
