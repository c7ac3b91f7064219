//! Times as text.

/// A time in milliseconds since the Unix epoch as RFC 3339 says it, in UTC, the last second rounded up.
#[must_use]
pub fn time(ms: u64) -> String {
    let seconds = i64::try_from(ms.div_ceil(1_000)).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| jiff::Timestamp::MAX.to_string(), |at| at.to_string())
}
