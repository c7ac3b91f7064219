//! What a caller can ask, how much of it, and for how long.

use std::time::Duration;

use super::subject::{Subject, named};
use super::{Finding, Item, Rule, Verdict};

/// Longest time for a request's headers or body that keeps slow callers from filling the server.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Bytes of a body that a server of agents has use for.
const BODY_BYTES_MAX: u64 = 64 << 20;

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::gate(
            "api/body-limit",
            "a body has a most",
            "let `server.body_bytes_max` be what callers need, 64 MiB at most",
        ),
        judge: |subject| {
            let most = subject.plan.server.body_bytes_max;
            let found = (most > BODY_BYTES_MAX).then(|| said(format!("a body may have {} MiB", most >> 20)));
            Verdict::unless(found.into_iter().collect(), format!("{} KiB at most", most >> 10))
        },
    },
    Rule {
        item: Item::new(
            "api/timeouts",
            "a slow caller does not keep a place",
            "let `server.header_timeout` and `server.body_timeout` be a minute at most",
        ),
        judge: timeouts,
    },
    Rule {
        item: Item::gate(
            "api/rate-limits",
            "each key has a bound",
            "give each key `requests_per_minute` or `concurrency`",
        ),
        judge: rate_limits,
    },
    Rule {
        item: Item::new(
            "api/load-limit",
            "more requests than the server can do are refused at once",
            "let `server.requests_max` be 10 000 at most",
        ),
        judge: |subject| {
            let most = subject.plan.server.requests_max;
            let found = (most > 10_000).then(|| said(format!("{most} requests may be in flight")));
            Verdict::unless(found.into_iter().collect(), format!("{most} in flight, then 503"))
        },
    },
    Rule {
        item: Item::new(
            "api/stream-route",
            "no gateway cuts a stream by its age",
            "give the HTTPRoute's rules `timeouts: { request: 0s }`",
        ),
        judge: stream_route,
    },
];

fn said(what: String) -> Finding {
    Finding { place: None, what }
}

fn timeouts(subject: &Subject<'_>) -> Verdict {
    let server = &subject.plan.server;
    let given = [("header_timeout", server.header_timeout), ("body_timeout", server.body_timeout)];
    let long = given.into_iter().filter(|(_, time)| *time > ARRIVAL_MAX);
    let found = long.map(|(name, time)| said(format!("`server.{name}` is {} s", time.as_secs())));
    Verdict::unless(found.collect(), "headers and bodies arrive within a minute")
}

fn rate_limits(subject: &Subject<'_>) -> Verdict {
    let keys = &subject.plan.access.keys;
    if keys.is_empty() {
        return Verdict::fail("there is no key that a rate could belong to");
    }
    let free = keys.iter().filter(|key| key.requests_per_minute.is_none() && key.concurrency.is_none());
    let found = free.map(|key| said(format!("key `{}` has no bound", key.name)));
    Verdict::unless(found.collect(), "every key is bounded")
}

fn stream_route(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    for (artifact, object) in subject.objects(&["HTTPRoute"]) {
        for rule in object["spec"]["rules"].as_array().into_iter().flatten() {
            if rule["timeouts"]["request"] != "0s" {
                let what = format!("{} may end streams: `timeouts.request` is not 0s", named(object));
                found.push(artifact.finding("timeouts", what));
            }
        }
    }
    Verdict::unless(found, "no route has an age")
}
