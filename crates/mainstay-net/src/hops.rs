//! Headers of a request that is passed on: what belongs to one connection stays behind, and where it came from is said
//! by whoever knows it.

use std::net::IpAddr;

use http::header::{
    CONNECTION, FORWARDED, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Headers of one connection (RFC 9110, section 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what belongs to one connection, what `connection` lists included.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Says who sent a request, where that is known, and which host it was sent to: `x-forwarded-for`, `x-forwarded-host`
/// and `forwarded` (RFC 7239), in place of what was said before.
pub fn tell_origin(headers: &mut HeaderMap, peer: Option<IpAddr>, host: Option<&str>) {
    let (peer, host) = (peer.map(|peer| peer.to_canonical().to_string()), host.unwrap_or_default());
    if let Some(peer) = &peer {
        set(headers, HeaderName::from_static("x-forwarded-for"), peer);
    }
    if !host.is_empty() {
        set(headers, HeaderName::from_static("x-forwarded-host"), host);
    }
    let by = peer.unwrap_or_default();
    let quoted = if by.contains(':') { format!("\"[{by}]\"") } else { by };
    set(headers, FORWARDED, &format!("for={quoted};host=\"{}\"", host.replace('"', "")));
}

/// Sets a header; a value that is none leaves none.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.remove(&name);
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
