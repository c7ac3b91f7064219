//! Durations as component files write them: `1h30m`, `1.5s`, `300ms` (the syntax of Go's `time.ParseDuration`).

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits after a point that count.
const FRACTION_DIGITS_MAX: usize = 9;

/// Reads a duration. `None` for other text, for one without a unit (but `0`), and for what is negative or longer than
/// 584 years.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total_ns = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == &after[..unit])?;
        total_ns = total_ns.checked_add(scaled(digits, *factor)?)?;
        rest = &after[unit..];
    }
    Some(Duration::from_nanos(total_ns))
}

/// Decimal digits, perhaps with a point, times `factor`.
fn scaled(digits: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u64::try_from(u128::from(part) * u128::from(factor) / scale).ok()?;
    whole.checked_mul(factor)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text:?}");
        };
        check("5s", Some(5_000));
        check("1h30m", Some(5_400_000));
        check("1.5s", Some(1_500));
        check(".5s", Some(500));
        check("1m0.25s", Some(60_250));
        check("300ms", Some(300));
        check("2000us", Some(2));
        check("3000µs", Some(3));
        check("0", Some(0));
        check("+1s", Some(1_000));
        for bad in ["", "5", "s", "-1s", "1d", "1s ", "1..5s", ".s", "1.s5", "99999999999h", "5 s"] {
            check(bad, None);
        }
    }
}
