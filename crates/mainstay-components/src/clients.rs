//! ★ Clients that several members share: their settings, how they connect, and what their failures mean. To add one: a
//! file in `clients/`, a line here, and a feature in the manifest.

#[cfg(any(feature = "jetstream", feature = "mqtt", feature = "rabbitmq"))]
pub(crate) mod brokers;
#[cfg(any(feature = "mqtt", feature = "rabbitmq"))]
pub(crate) mod certificates;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod sql;
#[cfg(any(feature = "jetstream", feature = "mqtt", feature = "rabbitmq"))]
pub(crate) mod tls;

use std::time::{Duration, Instant};

#[cfg(any(feature = "kafka", feature = "redis"))]
use base64::Engine as _;
use mainstay_core::{Ctx, Error, Result, codes};

/// Runs a call until the context's deadline; without one, until it ends.
pub(crate) async fn within<T>(ctx: &Ctx, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let Some(left) = ctx.remaining(Instant::now()) else { return call.await };
    let late = |_| Error::new(&codes::DEADLINE_EXCEEDED, "call the backend: it did not answer in time");
    tokio::time::timeout(left, call).await.map_err(late)?
}

/// A time as Dapr's settings have it: a duration, or a number of seconds; none for what is not above zero.
pub(crate) fn time(text: &str) -> Option<Option<Duration>> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs));
    }
    if let Some(positive) = text.strip_prefix('-') {
        return mainstay_core::duration::parse(positive).map(|_| None);
    }
    mainstay_core::duration::parse(text).map(|time| (!time.is_zero()).then_some(time))
}

/// A time as some of Dapr's settings have it: a duration, or a number of milliseconds.
#[cfg(any(feature = "kafka", feature = "redis"))]
pub(crate) fn time_ms(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis).or_else(|| mainstay_core::duration::parse(text))
}

/// What a [`time_ms`] must be.
#[cfg(any(feature = "kafka", feature = "redis"))]
pub(crate) const TIME_MS: &str = "a duration such as `5s`, or a number of milliseconds";

/// The house's root certificates as PEM text: the host's, or embedded ones where it has none.
#[cfg(any(feature = "kafka", feature = "redis"))]
pub(crate) fn root_certificates() -> String {
    let encode = |root: &[u8]| base64::engine::general_purpose::STANDARD.encode(root);
    let roots = mainstay_net::tls::root_certificates();
    roots
        .iter()
        .map(|root| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", encode(root)))
        .collect()
}

/// What a [`time`] must be.
pub(crate) const TIME: &str = "a duration such as `5s`, or a number of seconds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_duration_or_seconds_and_nothing_from_zero_down() {
        let seconds = |seconds| Some(Some(Duration::from_secs(seconds)));
        let cases = [
            ("20", seconds(20)),
            ("2s", seconds(2)),
            ("1m30s", seconds(90)),
            ("0", Some(None)),
            ("0s", Some(None)),
            ("-1", Some(None)),
            ("-5m", Some(None)),
            ("soon", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(time(text), expect, "{text}");
        }
    }
}
