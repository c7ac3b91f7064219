//! Bounds how many requests a second a caller may make, by a bucket of tokens for each address: `x-forwarded-for` (its
//! last entry), `x-real-ip`, or the peer's own. Who may not is answered with 429.
//! <https://docs.dapr.io/reference/components-reference/supported-middleware/middleware-rate-limit/>

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::middleware::{Capabilities, Middleware, Request, Step};
use mainstay_core::{Clock, Ctx, Fault, Result};
use parking_lot::Mutex;

use super::refusal;
use crate::def::{Def, SettingDef};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn Middleware> = Def {
    kind: "middleware.http.ratelimit",
    aliases: &[],
    versions: &["v1"],
    about: "Bounds how many requests a second each caller may make; the others are answered with 429. A caller is an \
            address: the last of `x-forwarded-for`, `x-real-ip`, or the peer's.",
    settings: &[SettingDef {
        name: "maxRequestsPerSecond",
        about: "Requests a second, also at once; parts of one are allowed (`0.5`). 100 by default.",
        required: false,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (rate, _) = parse(opening.settings);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move { Ok(Arc::new(RateLimit::new(rate, clock)) as Arc<dyn Middleware>) })
    },
};

/// Callers that are told apart.
const CALLERS_MAX: usize = 10_000;

fn parse(settings: &Settings) -> (f64, Vec<Fault>) {
    let mut faults = Vec::new();
    let rate = |text: &str| text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    let rate = settings.read("maxRequestsPerSecond", "a positive number", rate, &mut faults);
    (rate.unwrap_or(100.0), faults)
}

struct RateLimit {
    per_ms: f64,
    most: f64,
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl RateLimit {
    fn new(rate: f64, clock: Arc<dyn Clock>) -> Self {
        Self { per_ms: rate / 1000.0, most: rate.max(1.0).floor(), clock, buckets: Mutex::default() }
    }

    /// Takes a token of this caller, if there is one.
    fn take(&self, caller: IpAddr) -> bool {
        let now = self.clock.now_ms();
        let mut buckets = self.buckets.lock();
        let caller = if buckets.len() >= CALLERS_MAX && !buckets.contains_key(&caller) {
            buckets.retain(|_, bucket| self.filled(bucket, now) < self.most);
            // Where so many are at work, the newcomers share one.
            if buckets.len() >= CALLERS_MAX { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { caller }
        } else {
            caller
        };
        let bucket = buckets.entry(caller).or_insert(Bucket { tokens: self.most, at_ms: now });
        bucket.tokens = self.filled(bucket, now);
        bucket.at_ms = now;
        let has = bucket.tokens >= 1.0;
        if has {
            bucket.tokens -= 1.0;
        }
        has
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds between two requests")]
    fn filled(&self, bucket: &Bucket, now: u64) -> f64 {
        let passed = now.saturating_sub(bucket.at_ms) as f64;
        (bucket.tokens + passed * self.per_ms).min(self.most)
    }
}

#[async_trait]
impl Middleware for RateLimit {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn request(&self, _: &Ctx, request: &mut Request) -> Result<Step> {
        if self.take(caller(request)) {
            return Ok(Step::Next);
        }
        Ok(refusal(429, "You have reached maximum request limit."))
    }
}

/// Who calls; all of whom nothing is known are one.
fn caller(request: &Request) -> IpAddr {
    let forwarded = request.header("x-forwarded-for").and_then(|list| list.rsplit(',').next());
    let said = [forwarded, request.header("x-real-ip")];
    let said = said.into_iter().flatten().find_map(|text| text.trim().parse().ok());
    match said.or(request.peer) {
        // A network of that size is one subscriber's.
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        },
        Some(address) => address,
        None => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::clock::ManualClock;

    use super::*;

    fn from(headers: &[(&str, &str)], peer: Option<&str>) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into()));
        let mut request = Request::new("GET", "/", None, headers.collect());
        request.peer = peer.map(|peer| peer.parse().unwrap());
        request
    }

    #[test]
    fn a_caller_has_as_many_as_the_rate_and_again_as_time_passes() {
        let clock = Arc::new(ManualClock::at(1_000));
        let limit = RateLimit::new(2.0, Arc::clone(&clock) as _);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        assert!(limit.take(one) && limit.take(one) && !limit.take(one) && limit.take(other));
        clock.advance(500);
        assert!(limit.take(one) && !limit.take(one));
        clock.advance(3_600_000);
        assert!(limit.take(one) && limit.take(one) && !limit.take(one));
        let slow = RateLimit::new(0.5, Arc::clone(&clock) as _);
        assert!(slow.take(one) && !slow.take(one));
        clock.advance(2_000);
        assert!(slow.take(one) && !slow.take(one));
    }

    #[test]
    fn callers_are_told_apart_up_to_a_bound() {
        let limit = RateLimit::new(1.0, Arc::new(ManualClock::at(0)));
        for caller in 0..u32::try_from(CALLERS_MAX).unwrap() {
            assert!(limit.take(IpAddr::V4(caller.into())));
        }
        let [new, newer] = [u32::MAX, u32::MAX - 1].map(|number| IpAddr::V4(number.into()));
        assert!(limit.take(new) && !limit.take(newer), "the newcomers share one");
        assert!(limit.buckets.lock().len() <= CALLERS_MAX + 1);
    }

    #[test]
    fn a_caller_is_whom_the_headers_name_or_the_peer() {
        let check = |headers: &[(&str, &str)], peer: Option<&str>, expect: &str| {
            assert_eq!(caller(&from(headers, peer)).to_string(), expect, "{headers:?}");
        };
        check(
            &[("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-real-ip", "3.3.3.3")],
            Some("4.4.4.4"),
            "2.2.2.2",
        );
        check(&[("x-real-ip", "3.3.3.3")], Some("4.4.4.4"), "3.3.3.3");
        check(&[("x-forwarded-for", "nobody")], Some("4.4.4.4"), "4.4.4.4");
        check(&[], Some("::ffff:4.4.4.4"), "4.4.4.4");
        check(&[], Some("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        check(&[], None, "0.0.0.0");
    }

    #[test]
    fn the_rate_is_a_positive_number() {
        let settings =
            |text: &str| Settings::new([("maxRequestsPerSecond".to_owned(), Some(text.to_owned()))]);
        assert!(parse(&settings("0.5")).1.is_empty() && parse(&Settings::default()).1.is_empty());
        for text in ["0", "-1", "inf", "NaN", "many"] {
            assert_eq!(parse(&settings(text)).1.len(), 1, "{text}");
        }
    }
}
