//! A value of a row as JSON, from PostgreSQL's binary format (its `*send` functions).

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Number, Value};
use tokio_postgres::types::{FromSql, Kind, Type};

type Read<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// The value.
#[derive(Debug)]
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Read<Self> {
        value(kind, raw).map(Self)
    }

    fn from_sql_null(_: &Type) -> Read<Self> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Seconds from the Unix epoch to PostgreSQL's, the beginning of 2000.
const EPOCH: i64 = 946_684_800;

fn value(kind: &Type, raw: &[u8]) -> Read<Value> {
    Ok(match *kind {
        Type::BOOL => (fixed::<1>(raw)?[0] != 0).into(),
        Type::INT2 => i16::from_be_bytes(fixed(raw)?).into(),
        Type::INT4 => i32::from_be_bytes(fixed(raw)?).into(),
        Type::INT8 => i64::from_be_bytes(fixed(raw)?).into(),
        Type::OID => u32::from_be_bytes(fixed(raw)?).into(),
        Type::FLOAT4 => f64::from(f32::from_be_bytes(fixed(raw)?)).into(),
        Type::FLOAT8 => f64::from_be_bytes(fixed(raw)?).into(),
        Type::NUMERIC => numeric(raw)?,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => text(raw)?.into(),
        Type::JSON => serde_json::from_slice(raw)?,
        // The first byte is the format's version.
        Type::JSONB => serde_json::from_slice(raw.get(1..).unwrap_or_default())?,
        Type::BYTEA => STANDARD.encode(raw).into(),
        Type::UUID => uuid::Uuid::from_bytes(fixed(raw)?).to_string().into(),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(fixed(raw)?);
            time(SignedDuration::from_micros(micros))?
        }
        Type::DATE => time(SignedDuration::from_hours(i64::from(i32::from_be_bytes(fixed(raw)?)) * 24))?,
        Type::VOID => Value::Null,
        _ => match kind.kind() {
            Kind::Array(of) => array(of, raw)?,
            Kind::Enum(_) => text(raw)?.into(),
            Kind::Domain(of) => value(of, raw)?,
            _ => return Err("it has no form in JSON".into()),
        },
    })
}

fn fixed<const N: usize>(raw: &[u8]) -> Read<[u8; N]> {
    raw.try_into().map_err(|_| "it has another length".into())
}

fn text(raw: &[u8]) -> Read<String> {
    Ok(std::str::from_utf8(raw)?.to_owned())
}

fn time(since: SignedDuration) -> Read<Value> {
    let at = Timestamp::from_second(EPOCH)?.checked_add(since)?;
    Ok(at.to_string().into())
}

/// Takes so many bytes from the front.
fn take<'a>(raw: &mut &'a [u8], count: usize) -> Read<&'a [u8]> {
    let (taken, rest) = raw.split_at_checked(count).ok_or("it is cut")?;
    *raw = rest;
    Ok(taken)
}

fn take_i32(raw: &mut &[u8]) -> Read<i32> {
    Ok(i32::from_be_bytes(fixed(take(raw, 4)?)?))
}

fn take_i16(raw: &mut &[u8]) -> Read<i16> {
    Ok(i16::from_be_bytes(fixed(take(raw, 2)?)?))
}

/// Dimensions, then the items, the last dimension's side by side.
fn array(of: &Type, mut raw: &[u8]) -> Read<Value> {
    let dimensions = take_i32(&mut raw)?;
    take(&mut raw, 8)?;
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(take_i32(&mut raw)?)?);
        take(&mut raw, 4)?;
    }
    if lengths.is_empty() { Ok(Value::Array(Vec::new())) } else { items(of, &lengths, &mut raw) }
}

fn items(of: &Type, lengths: &[usize], raw: &mut &[u8]) -> Read<Value> {
    let Some((length, inner)) = lengths.split_first() else {
        let size = take_i32(raw)?;
        return match usize::try_from(size) {
            Err(_) => Ok(Value::Null),
            Ok(size) => value(of, take(raw, size)?),
        };
    };
    (0..*length).map(|_| items(of, inner, raw)).collect::<Read<Vec<_>>>().map(Value::Array)
}

/// Digits to the base of 10,000, the weight of the first, a sign, and digits behind the point. As a JSON number where
/// that loses nothing.
fn numeric(mut raw: &[u8]) -> Read<Value> {
    let (count, weight) = (take_i16(&mut raw)?, take_i16(&mut raw)?);
    let (sign, scale) = (take_i16(&mut raw)?.cast_unsigned(), usize::try_from(take_i16(&mut raw)?)?);
    if sign & 0xC000 == 0xC000 {
        return Ok(Value::String(if sign == 0xC000 { "NaN" } else { "Infinity" }.to_owned()));
    }
    let digits = (0..count).map(|_| take_i16(&mut raw)).collect::<Read<Vec<_>>>()?;
    let digit = |place: i32| {
        let at = usize::try_from(i32::from(weight) - place).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let mut text: String =
        (0..=i32::from(weight.max(0))).rev().map(|place| format!("{:04}", digit(place))).collect();
    let trimmed = text.trim_start_matches('0');
    text = if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() };
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(4))?;
        let fraction: String = (1..=groups).map(|place| format!("{:04}", digit(-place))).collect();
        text = format!("{text}.{}", &fraction[..scale]);
    }
    if sign == 0x4000 {
        text.insert(0, '-');
    }
    // Numbers are doubles to most readers of JSON: what they would round is told as text.
    let number: Option<Number> = serde_json::from_str(&text).ok();
    let exact = number.filter(|number| number.is_i64() || text.len() <= 16);
    Ok(exact.map_or_else(|| Value::String(text.clone()), Value::Number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(digits: &[i16], weight: i16, negative: bool, scale: i16) -> Value {
        let sign: i16 = if negative { 0x4000 } else { 0 };
        let head = [i16::try_from(digits.len()).unwrap(), weight, sign, scale];
        let raw: Vec<u8> = head.iter().chain(digits).flat_map(|part| part.to_be_bytes()).collect();
        numeric(&raw).unwrap()
    }

    #[test]
    fn numbers_of_any_size_keep_their_digits() {
        assert_eq!(number(&[12, 3450], 0, false, 2), json!(12.34));
        assert_eq!(number(&[1], 1, true, 0), json!(-10000));
        assert_eq!(number(&[], 0, false, 0), json!(0));
        assert_eq!(number(&[500], -1, false, 2), json!(0.05));
        assert_eq!(number(&[1234, 5678, 9012, 3456, 7890], 4, false, 0), json!("12345678901234567890"));
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error_and_no_panic() {
        for kind in [Type::INT8, Type::NUMERIC, Type::INT4_ARRAY, Type::JSONB, Type::POINT, Type::UUID] {
            assert!(value(&kind, &[0, 1]).is_err(), "{kind}");
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(value(&Type::TIMESTAMPTZ, &0_i64.to_be_bytes()).unwrap(), json!("2000-01-01T00:00:00Z"));
        assert_eq!(value(&Type::DATE, &1_i32.to_be_bytes()).unwrap(), json!("2000-01-02T00:00:00Z"));
    }
}
