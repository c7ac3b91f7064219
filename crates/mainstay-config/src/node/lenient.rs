//! What a plain scalar means in a resource file, and how values become text there.
//!
//! Resource files are written for a runtime that reads them with Go's `sigs.k8s.io/yaml` 1.6: YAML 1.1 by
//! `go.yaml.in/yaml/v2`, turned into JSON, then into typed values. So `off` is false, `1_000` is 1000, `017` is 15,
//! `0x10` is 16 and `22:22` is text; a number where text is wanted is written out again (`1.10` becomes `1.1`). The
//! functions here do the same, so that an unchanged file means the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Number;

use super::Value;

/// Resolves a plain scalar. The error is a message without the value.
pub(super) fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Err("infinity and NaN are no values here"),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'.' => float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| Value::Text(text.to_owned()), Value::Number))
}

/// A scalar with a tag. Tags that are not of YAML itself are ignored, as there.
pub(super) fn tagged(suffix: &str, text: &str) -> Result<Value, &'static str> {
    let wanted = "the value is not what its tag says";
    match suffix {
        "str" => Ok(Value::Text(text.to_owned())),
        "binary" => {
            let lines: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = STANDARD.decode(lines).map_err(|_| "the value is no base64")?;
            Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "null" => resolve(text).and_then(|value| if value == Value::Null { Ok(value) } else { Err(wanted) }),
        "bool" => resolve(text)
            .and_then(|value| if matches!(value, Value::Bool(_)) { Ok(value) } else { Err(wanted) }),
        "int" => resolve(text).and_then(|value| match value {
            Value::Number(number) if !number.is_f64() => Ok(Value::Number(number)),
            _ => Err(wanted),
        }),
        "float" => resolve(text)
            .and_then(|value| if matches!(value, Value::Number(_)) { Ok(value) } else { Err(wanted) }),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// Go's `strconv.ParseInt` with base 0, then `ParseUint`.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0'] => (10, digits),
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    Some(Number::from(magnitude))
}

/// What matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` and is finite.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let fits = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !fits || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}

/// A scalar where text is wanted; `None` for what has no text there (null, lists, maps).
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => Some(shortest(float)),
            None => Some(number.to_string()),
        },
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Go's `strconv.FormatFloat(f, 'g', -1, 32)`.
fn shortest(float: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "32 bits are what the text is made of")]
    let single = float as f32;
    let written = format!("{single:e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..6).contains(&exponent) || !single.is_finite() => single.to_string(),
        Ok(exponent) => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => single.to_string(),
    }
}

/// A number as Go's `encoding/json` writes it.
pub(crate) fn json_number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    if float == 0.0 || (1e-6..1e21).contains(&float.abs()) {
        return float.to_string();
    }
    let written = format!("{float:e}");
    if written.contains("e-") { written } else { written.replace('e', "e+") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match resolve(text).unwrap() {
            Value::Null => "null".to_owned(),
            Value::Number(number) => json_number(&number),
            Value::Text(text) => format!("{text:?}"),
            other => text_of(&other).unwrap(),
        }
    }

    fn check(text: &str, expect: &str) {
        assert_eq!(json(text), expect, "{text:?}");
    }

    #[test]
    fn words_are_those_of_yaml_1_1() {
        for text in ["on", "yes", "y", "True"] {
            check(text, "true");
        }
        for text in ["off", "no", "n", "FALSE"] {
            check(text, "false");
        }
        for text in ["", "~", "null"] {
            check(text, "null");
        }
        for text in ["oN", "tRue", "nil", "none", "inf", "_1", "a"] {
            check(text, &format!("{text:?}"));
        }
    }

    #[test]
    fn whole_numbers_are_read_as_go_reads_them() {
        check("1_000", "1000");
        check("0x10", "16");
        check("0X1_f", "31");
        check("0o17", "15");
        check("017", "15");
        check("0b101", "5");
        check("-0b101", "-5");
        check("+7", "7");
        check("0", "0");
        check("-0", "0");
        check("-9223372036854775808", "-9223372036854775808");
        check("18446744073709551615", "18446744073709551615");
        check("99999999999999999999", "100000000000000000000");
        check("-9223372036854775809", "-9223372036854776000");
    }

    #[test]
    fn numbers_with_a_fraction_are_written_anew() {
        check("1.10", "1.1");
        check("1e3", "1000");
        check("1.", "1");
        check(".5", "0.5");
        check("-.5", "-0.5");
        check("08", "8");
        check("1e21", "1e+21");
        check("1e20", "100000000000000000000");
        check("1e-7", "1e-7");
        check("0.000001", "0.000001");
        check("-0.0", "-0");
    }

    #[test]
    fn nothing_else_is_a_number() {
        for text in [
            "22:22",
            "2026-11-21",
            "1.2.3",
            "-",
            "+",
            ".",
            "1e",
            "0x",
            "0xg",
            "0o9",
            "5s",
            "1e999",
            "1-2",
            ".e5",
        ] {
            check(text, &format!("{text:?}"));
        }
        for text in [".inf", "-.INF", ".nan"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_where_text_is_wanted_is_the_shortest_of_32_bits() {
        let check = |text: &str, expect: &str| {
            assert_eq!(text_of(&resolve(text).unwrap()).as_deref(), Some(expect), "{text}");
        };
        check("1.10", "1.1");
        check("0.1", "0.1");
        check("1000000.0", "1e+06");
        check("123456.0", "123456");
        check("0.00001", "1e-05");
        check("0.0001", "0.0001");
        check("1.0", "1");
        check("42", "42");
        check("on", "true");
    }

    #[test]
    fn tags_choose_the_type() {
        assert_eq!(tagged("str", "12"), Ok(Value::Text("12".to_owned())));
        assert_eq!(tagged("int", "12"), Ok(Value::Number(12.into())));
        assert_eq!(tagged("thing", "12"), Ok(Value::Text("12".to_owned())));
        assert_eq!(tagged("binary", "aGVs\nbG8="), Ok(Value::Text("hello".to_owned())));
        assert!(tagged("binary", "?").is_err());
        assert!(tagged("bool", "12").is_err() && tagged("int", "a").is_err());
    }
}
