//! Callers on this machine, while no key is configured.
//!
//! The peer's address alone does not prove it: a browser page can reach loopback under a foreign name (DNS rebinding),
//! and a proxy on this machine brings in the whole internet. So the request must also be addressed to this machine, and
//! must not have been passed on.

use std::net::IpAddr;

use http::{HeaderName, Version, header};
use mainstay_core::{Error, Result, codes};

use super::Caller;

/// Headers that proxies add; and, by their beginnings, the families of such headers.
const PASSED_ON: [&str; 5] = ["forwarded", "via", "x-real-ip", "true-client-ip", "x-original-forwarded-for"];
const PASSED_ON_PREFIXES: [&str; 3] = ["x-forwarded-", "cf-", "x-envoy-"];

/// Whether the caller is on this machine. Errors: `UNAUTHENTICATED`, `PERMISSION_DENIED` for a request of a page of
/// another site.
pub(super) fn check(caller: Caller<'_>) -> Result<()> {
    let Caller { headers, authority, version, peer, is_allowed_page } = caller;
    let is_near = peer.is_some_and(|peer| is_loopback(peer.ip()));
    // Proxies that add no header still speak HTTP/1.0 unless told otherwise; clients of today do not.
    let is_direct = version >= Version::HTTP_11 && !headers.keys().any(is_of_a_proxy);
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let (host, another) = (hosts.next(), hosts.next());
    let is_ours =
        another.is_none() && host.is_none_or(names_this_machine) && authority.is_none_or(names_this_machine);
    if !(is_near && is_direct && is_ours) {
        return Err(Error::new(&codes::UNAUTHENTICATED, "without an API key only this machine may call")
            .with_help("call `localhost` directly, or configure a key under `access.keys`"));
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if !is_allowed_page && origin.is_some_and(|origin| !is_local_page(origin)) {
        return Err(Error::new(
            &codes::PERMISSION_DENIED,
            "pages of other sites may not call without an API key",
        )
        .with_help("configure a key under `access.keys` and the page's origin under `access.cors.origins`"));
    }
    Ok(())
}

fn is_of_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    PASSED_ON.contains(&name) || PASSED_ON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a `host` header means this machine: `localhost` or a loopback address, with any port.
fn names_this_machine(host: &str) -> bool {
    if host.contains('@') {
        return false;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(is_loopback)
}

/// Whether an `origin` header is a page served by this machine.
fn is_local_page(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(names_this_machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in
            ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "LOCALHOST.", "app.localhost:1"]
        {
            assert!(names_this_machine(local), "{local}");
        }
        for foreign in [
            "localhost:1@evil.example",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:8080",
            "[fe80::1]",
            "",
            "127.0.0.1.nip.io",
        ] {
            assert!(!names_this_machine(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_mapped_loopback_address_is_loopback() {
        assert!(is_loopback("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_loopback("::ffff:10.0.0.1".parse().unwrap()));
    }
}
