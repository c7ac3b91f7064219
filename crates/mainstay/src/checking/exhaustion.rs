//! The bound of a key, found by using it up: where the user allows it, since the key's own work waits meanwhile.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method};
use mainstay_core::clock::Clock as _;
use mainstay_net::clock::SystemClock;
use mainstay_ship::checks::{Finding, Item, Verdict};
use tokio::time::{Instant, timeout_at};

use super::service::{Answer, Ask, Service};
use super::{LiveRule, When, api};

/// Requests that are sent where neither the user nor the spec says how many it takes.
const REQUESTS_DEFAULT: u32 = 1_200;
/// Requests that are on their way at once.
const AT_ONCE: usize = 16;
/// Longest time for all of them.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Longest wait that is waited for: a bound by the minute gives something back within one.
const WAIT_MAX: Duration = Duration::from_secs(70);
/// Longest wait that a caller can be asked for in earnest.
const WAIT_PLAUSIBLE_MAX: Duration = Duration::from_secs(3600);
/// Shortest wait between two requests that may both be refused.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// How often a wait is waited for: requests that were on their way take what it gave back.
const WAITS_MAX: usize = 3;

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::gate(
        "api/live-rate-limit",
        "a key that asks too often is told when to come again",
        "bound each key by `requests_per_minute`; beyond it answer 429 with `Retry-After` and a code",
    ),
    when: When::Exhausting,
    ask: |service| Box::pin(limit(service)),
}];

/// How many requests may be made to find the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhaust {
    /// As many as it should take.
    Enough,
    /// So many.
    Most(u32),
}

impl Exhaust {
    /// The number, where the spec gives the key so many a minute: twice that, since a minute may pass.
    fn requests_max(self, per_minute: Option<u32>) -> u32 {
        match self {
            Self::Most(count) => count,
            Self::Enough => per_minute.map_or(0, |rate| rate.saturating_mul(2)).max(REQUESTS_DEFAULT),
        }
    }
}

async fn limit(service: &Service) -> Verdict {
    let Some(exhaust) = service.given.exhaust else {
        return Verdict::Unknown("it uses the key's requests up: allow it with `--exhaust`".to_owned());
    };
    if service.given.key.is_none() {
        return Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
    }
    let (requests_max, told) = (exhaust.requests_max(service.given.per_minute), service.given.per_minute);
    if let Some(rate) = told.filter(|rate| *rate >= requests_max) {
        return Verdict::Unknown(format!(
            "the key may make {rate} requests a minute: give `--exhaust` more than that"
        ));
    }
    let (method, path, body) = cheap(service);
    let ask = Ask { method, body, headers: vec![("content-type", "application/json")], ..Ask::get(&path) };
    match flood(service, &ask, requests_max).await {
        Flood::Refused(count, answer) => refused(service, &ask, count, &answer).await,
        Flood::Unknown(why) => Verdict::Unknown(why),
        Flood::Unbounded(count) => Verdict::fail(format!(
            "none of {count} requests to {} {path} was refused: nothing bounds a caller",
            ask.method
        )),
    }
}

/// A request that costs little and wants a key: a list, if there is one; else something that there is not, or a question
/// that asks nothing.
fn cheap(service: &Service) -> (Method, String, Option<&'static str>) {
    let keyed = service.operations().into_iter().filter(|(path, method, operation)| {
        *method == Method::GET && !api::is_open(service, path, method, operation)
    });
    let mut paths: Vec<&str> = keyed.map(|(path, ..)| path).collect();
    // Metrics are long, and what lies behind two parameters may be a stream.
    paths.sort_by_key(|path| (*path == "/metrics", path.matches('{').count(), path.len()));
    match paths.first() {
        Some(path) => (Method::GET, api::filled(path), None),
        None => (Method::POST, service.asking(false).unwrap_or("/v1/invoke").to_owned(), Some("{}")),
    }
}

/// What became of many requests.
enum Flood {
    /// One was refused with 429, after so many that were not.
    Refused(u32, Answer),
    /// None was.
    Unbounded(u32),
    /// It could not be found out, and why.
    Unknown(String),
}

async fn flood(service: &Service, ask: &Ask<'_>, requests_max: u32) -> Flood {
    let sent = stream::iter(0..requests_max).map(|_| service.send(ask.clone()));
    let mut answers = sent.buffer_unordered(AT_ONCE);
    let (deadline, mut count) = (Instant::now() + TIME_MAX, 0_u32);
    loop {
        match timeout_at(deadline, answers.next()).await {
            Ok(Some(Ok(answer))) if answer.status == 429 => return Flood::Refused(count, answer),
            Ok(Some(Ok(answer))) if matches!(answer.status, 401 | 403) => {
                return Flood::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
            }
            Ok(Some(Ok(_))) => count += 1,
            Ok(Some(Err(error))) => {
                return Flood::Unknown(format!("after {count} requests one was not answered: {error:#}"));
            }
            Ok(None) => return Flood::Unbounded(count),
            Err(_) => {
                let seconds = TIME_MAX.as_secs();
                return Flood::Unknown(format!(
                    "only {count} requests were answered in {seconds} s: ask from nearer"
                ));
            }
        }
    }
}

/// Judges the refusal, whether it ends, and whether it is this caller's alone.
async fn refused(service: &Service, ask: &Ask<'_>, count: u32, answer: &Answer) -> Verdict {
    let mut found = Vec::new();
    let mut fault = |what: String| found.push(Finding { place: None, what });
    if !api::has_code(answer) {
        fault("the 429 has no code".to_owned());
    }
    if others_are_refused(service, ask).await {
        fault("while one key is used up, another caller is refused, too".to_owned());
    }
    let mut shown = vec![format!("{count} requests were answered, the next with 429")];
    match wait_of(&answer.headers) {
        Err(what) => fault(what),
        Ok(wait) if wait > WAIT_PLAUSIBLE_MAX => {
            fault(format!("`Retry-After` asks for {} s, which nobody waits for", wait.as_secs()));
        }
        Ok(wait) if wait > WAIT_MAX => {
            shown.push(format!("its {} s were not waited for", wait.as_secs()));
        }
        Ok(wait) => match answered_after(service, ask, wait).await {
            Ok(()) => {
                shown.push(format!("after the {} s that it asks for the key works again", wait.as_secs()))
            }
            Err(what) => fault(what),
        },
    }
    Verdict::unless(found, shown.join("; "))
}

/// Whether another caller is refused, where there is one.
async fn others_are_refused(service: &Service, ask: &Ask<'_>) -> bool {
    let own = service.given.key.as_deref();
    let Some(other) = service.given.other_key.as_deref().filter(|other| own != Some(*other)) else {
        return false;
    };
    let bearer = format!("Bearer {other}");
    let mut ask = ask.clone().bare();
    ask.headers.push(("authorization", &bearer));
    service.send(ask).await.is_ok_and(|answer| answer.status == 429)
}

/// Waits as asked until a request is answered. Errors: it never is.
async fn answered_after(service: &Service, ask: &Ask<'_>, mut wait: Duration) -> Result<(), String> {
    for _ in 0..WAITS_MAX {
        tokio::time::sleep(wait.min(WAIT_MAX)).await;
        match service.send(ask.clone()).await {
            Ok(answer) if answer.status == 429 => wait = wait_of(&answer.headers)?,
            Ok(answer) if answer.status >= 500 => {
                return Err(format!("after the wait the service answered {}", answer.status));
            }
            Ok(_) => return Ok(()),
            Err(error) => return Err(format!("after the wait the service did not answer: {error:#}")),
        }
    }
    Err("the key is refused after the wait that `Retry-After` asks for, too".to_owned())
}

/// Lets a key that this check used up have something again, as long as `patience` lasts; for those who ask later.
pub(super) async fn wait_out(answer: &HeaderMap, patience: Duration) {
    let asked = wait_of(answer).unwrap_or(patience);
    tokio::time::sleep(asked.max(WAIT_MIN).min(patience)).await;
}

/// How long `Retry-After` asks to wait (RFC 9110, 10.2.3). Errors: it is not there, or is neither a whole number of
/// seconds nor a date that is to come.
fn wait_of(headers: &HeaderMap) -> Result<Duration, String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(text) = header("retry-after").map(str::trim) else {
        return Err("the 429 does not say when to come again: it has no `Retry-After`".to_owned());
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is as implausible as the largest that does.
        return Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let Some(then) = date(text) else {
        return Err("`Retry-After` is neither a whole number of seconds nor a date".to_owned());
    };
    // Counted by the service's own clock, where it shows it.
    let shown = header("date").and_then(date);
    let now = shown.unwrap_or_else(|| i64::try_from(SystemClock.now_ms() / 1000).unwrap_or(i64::MAX));
    let seconds = u64::try_from(then - now).ok();
    seconds.map(Duration::from_secs).ok_or_else(|| "`Retry-After` is a date that has passed".to_owned())
}

/// A date of HTTP, in seconds.
fn date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &'static str)]) -> Result<u64, String> {
        let map = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        wait_of(&map.collect()).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_whole_seconds_or_a_date_that_is_to_come() {
        const NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        let after = |text| wait(&[NOW, ("retry-after", text)]);
        assert_eq!(after("0"), Ok(0));
        assert_eq!(after(" 30 "), Ok(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Ok(30));
        assert_eq!(after("99999999999999999999999"), Ok(u64::MAX));
        for bad in ["", "soon", "1.5", "-3", "+3", "1e3", "30s", "1994-11-06T08:49:37Z"] {
            assert!(after(bad).unwrap_err().contains("neither"), "{bad}");
        }
        assert!(after("Sun, 06 Nov 1994 08:48:37 GMT").unwrap_err().contains("passed"));
        assert!(wait(&[NOW]).unwrap_err().contains("no `Retry-After`"));
        assert!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]).unwrap_err().contains("passed"));
    }

    #[test]
    fn the_spec_says_how_many_requests_it_takes() {
        assert_eq!(Exhaust::Enough.requests_max(None), 1_200);
        assert_eq!(Exhaust::Enough.requests_max(Some(60)), 1_200);
        assert_eq!(Exhaust::Enough.requests_max(Some(5_000)), 10_000);
        assert_eq!(Exhaust::Most(50).requests_max(Some(5_000)), 50);
    }
}
