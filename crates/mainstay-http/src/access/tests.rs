//! Who gets in, and with what.

use std::num::NonZeroU32;

use mainstay_core::{Name, Redacted};

use super::*;
use crate::settings::Key;

fn key(name: &str, secret: &str) -> Key {
    Key {
        name: Name::parse(name).unwrap(),
        secret: Redacted::new(secret.to_owned()),
        requests_per_minute: None,
        concurrency: None,
    }
}

fn gate(keys: Vec<Key>, anonymous: Anonymous) -> Gate {
    Gate::new(&Access { keys, anonymous, cors_origins: Vec::new() }, None)
}

/// A caller of whom nothing but the headers is known.
fn from_nowhere(headers: &HeaderMap) -> Caller<'_> {
    let version = http::Version::HTTP_11;
    Caller { headers, authority: None, version, peer: None, is_allowed_page: false }
}

/// What becomes of a request with these headers from `peer`: the principal's label, or the code.
fn check(gate: &Gate, peer: &str, headers: &[(&str, &str)], wanted: &str) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let peer = peer.parse().ok().map(|ip: std::net::IpAddr| SocketAddr::new(ip, 1));
    let found = match gate.admit(Caller { peer, ..from_nowhere(&map) }) {
        Ok(pass) => pass.principal.label().to_owned(),
        Err(denied) => denied.error.code().id.to_owned(),
    };
    assert_eq!(found, wanted, "{peer:?} {headers:?}");
}

const NEAR: &str = "127.0.0.1";
const FAR: &str = "10.1.2.3";
const HOST: (&str, &str) = ("host", "localhost:8080");

#[test]
fn a_key_opens_in_either_header() {
    let gate = gate(vec![key("web", "s3cret"), key("ci", "other")], Anonymous::Loopback);
    check(&gate, FAR, &[("authorization", "Bearer s3cret")], "web");
    check(&gate, FAR, &[("authorization", "bearer  other ")], "ci");
    check(&gate, FAR, &[("x-api-key", "other")], "ci");
    check(&gate, FAR, &[("authorization", "Bearer stale"), ("x-api-key", "other")], "ci");
}

#[test]
fn a_wrong_key_opens_nothing() {
    let keys = || vec![key("web", "s3cret")];
    for anonymous in [Anonymous::Loopback, Anonymous::Nobody, Anonymous::Anyone] {
        let gate = gate(keys(), anonymous);
        for wrong in ["Bearer s3cre", "Bearer s3cret0", "Bearer ", "Bearer S3CRET"] {
            check(&gate, NEAR, &[("authorization", wrong), HOST], "UNAUTHENTICATED");
        }
    }
    check(
        &gate(keys(), Anonymous::Nobody),
        NEAR,
        &[("authorization", "Basic s3cret"), HOST],
        "UNAUTHENTICATED",
    );
}

#[test]
fn a_secret_that_resolved_to_nothing_opens_nothing() {
    let gate = gate(vec![key("web", "")], Anonymous::Loopback);
    check(&gate, NEAR, &[("authorization", "Bearer "), HOST], "UNAUTHENTICATED");
    check(&gate, NEAR, &[("x-api-key", ""), HOST], "UNAUTHENTICATED");
    check(&gate, NEAR, &[HOST], "UNAUTHENTICATED");
}

#[test]
fn without_a_key_the_rule_for_anonymous_callers_holds() {
    let open = gate(Vec::new(), Anonymous::Loopback);
    check(&open, NEAR, &[HOST], "anonymous");
    check(&open, "::1", &[("host", "[::1]:8080")], "anonymous");
    check(&open, NEAR, &[HOST, ("authorization", "Bearer sdk-needs-one")], "anonymous");
    check(&open, FAR, &[HOST], "UNAUTHENTICATED");
    check(&open, "", &[HOST], "UNAUTHENTICATED");
    check(&gate(vec![key("web", "s")], Anonymous::Loopback), NEAR, &[HOST], "UNAUTHENTICATED");
    check(&gate(Vec::new(), Anonymous::Nobody), NEAR, &[HOST], "UNAUTHENTICATED");
    check(&gate(vec![key("web", "s")], Anonymous::Anyone), FAR, &[], "anonymous");
}

#[test]
fn neither_a_proxy_nor_a_rebound_name_nor_a_foreign_page_is_this_machine() {
    let gate = gate(Vec::new(), Anonymous::Loopback);
    check(&gate, NEAR, &[HOST, ("x-forwarded-for", "203.0.113.7")], "UNAUTHENTICATED");
    for name in ["via", "forwarded", "x-forwarded-proto", "x-real-ip", "cf-connecting-ip", "true-client-ip"] {
        check(&gate, NEAR, &[HOST, (name, "x")], "UNAUTHENTICATED");
    }
    check(&gate, NEAR, &[HOST, ("host", "evil.example")], "UNAUTHENTICATED");
    check(&gate, NEAR, &[("host", "evil.example:8080")], "UNAUTHENTICATED");
    check(&gate, NEAR, &[HOST, ("origin", "https://evil.example")], "PERMISSION_DENIED");
    check(&gate, NEAR, &[HOST, ("origin", "null")], "PERMISSION_DENIED");
    check(&gate, NEAR, &[HOST, ("origin", "http://localhost:5173")], "anonymous");
}

#[test]
fn the_host_in_the_request_line_counts_too() {
    let gate = gate(Vec::new(), Anonymous::Loopback);
    let headers = HeaderMap::new();
    let peer = Some(SocketAddr::from(([127, 0, 0, 1], 1)));
    let admits = |authority| {
        let caller = Caller { authority: Some(authority), peer, ..from_nowhere(&headers) };
        let by_a_proxy = Caller { version: http::Version::HTTP_10, ..caller };
        assert!(gate.admit(by_a_proxy).is_err(), "proxies that add no header speak HTTP/1.0");
        gate.admit(caller).is_ok()
    };
    assert!(admits("localhost:8080") && !admits("rebound.example:8080"));
}

#[test]
fn a_rate_is_a_burst_and_then_a_wait() {
    let limited = Key { requests_per_minute: NonZeroU32::new(2), ..key("web", "s") };
    let gate = gate(vec![limited], Anonymous::Nobody);
    let headers = HeaderMap::from_iter([(X_API_KEY, "s".parse().unwrap())]);
    let caller = from_nowhere(&headers);
    assert_eq!(gate.admit(caller).unwrap().rate, Some(Rate { limit: 2, remaining: 1 }));
    assert_eq!(gate.admit(caller).unwrap().rate, Some(Rate { limit: 2, remaining: 0 }));
    let denied = gate.admit(caller).err().unwrap();
    assert_eq!(
        (denied.error.code().id, denied.rate),
        ("RATE_LIMITED", Some(Rate { limit: 2, remaining: 0 }))
    );
    let wait = denied.error.retry_after().unwrap();
    assert!((25..=30).contains(&wait.as_secs()), "{wait:?}");
}

#[test]
fn a_seat_comes_back_when_the_answer_ends() {
    let limited = Key { concurrency: NonZeroU32::new(1), ..key("web", "s") };
    let gate = gate(vec![limited], Anonymous::Nobody);
    let headers = HeaderMap::from_iter([(X_API_KEY, "s".parse().unwrap())]);
    let caller = from_nowhere(&headers);
    let first = gate.admit(caller).unwrap();
    assert_eq!(gate.admit(caller).err().unwrap().error.code().id, "CONCURRENCY_LIMITED");
    drop(first);
    assert!(gate.admit(caller).is_ok());
}

#[test]
fn a_reload_keeps_the_counts_of_an_unchanged_key() {
    let limited = |rate| Key { requests_per_minute: NonZeroU32::new(rate), ..key("web", "s") };
    let access =
        |rate| Access { keys: vec![limited(rate)], anonymous: Anonymous::Nobody, cors_origins: vec![] };
    let headers = HeaderMap::from_iter([(X_API_KEY, "s".parse().unwrap())]);
    let caller = from_nowhere(&headers);
    let first = Gate::new(&access(1), None);
    assert!(first.admit(caller).is_ok());
    assert!(Gate::new(&access(1), Some(&first)).admit(caller).is_err());
    assert!(Gate::new(&access(2), Some(&first)).admit(caller).is_ok());
}
