//! The headers that an app sees of a request: the caller's, without what is between the caller and us, and with what we
//! know of the caller.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName};
use mainstay_core::Principal;
use mainstay_core::forward::Headers;
use mainstay_net::hops;
use mainstay_net::server::Peer;

use crate::call::Call;
use crate::request_id;

/// The name of the key that a request came with.
const KEY: HeaderName = HeaderName::from_static("x-mainstay-key");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Beginnings of headers that are ours, or a proxy's before us, to say.
const OURS: [&str; 3] = ["x-mainstay-", "x-forwarded-", "mainstay-"];
/// Others of that kind; the last is what servers of an old interface take for their own proxy's address.
const OURS_TOO: [&str; 6] =
    ["forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "x-original-host", "proxy"];
/// What many servers cannot tell from the same with dashes, so that it would pass what is checked by name.
const LOOKALIKES: [&str; 6] =
    ["authorization", "content-length", "host", "transfer-encoding", "x-api-key", "x-request-id"];

/// Takes the headers from a call, as the app is to see them.
pub(super) fn forwarded(call: &mut Call) -> Headers {
    let mut headers = std::mem::take(&mut call.parts.headers);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = host.or_else(|| call.parts.uri.authority().map(|authority| authority.as_str().to_owned()));
    hops::strip_hop_by_hop(&mut headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    call.live.gate.strip(&mut headers);
    strip_claims(&mut headers);
    let peer = call.parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    hops::tell_origin(&mut headers, peer, host.as_deref());
    hops::set(&mut headers, PROTO, "http");
    hops::set(&mut headers, request_id::HEADER, call.request_id().as_str());
    if let Principal::Key(name) = call.ctx.principal() {
        hops::set(&mut headers, KEY, name.as_str());
    }
    let one = |(name, value): (&HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    headers.iter().map(one).collect()
}

/// Takes out what callers are not asked about.
fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    let dashed = name.replace('_', "-");
    OURS.iter().any(|start| dashed.starts_with(start))
        || OURS_TOO.contains(&dashed.as_str())
        || (name.contains('_') && (dashed.starts_with("dapr-") || LOOKALIKES.contains(&dashed.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_say_nothing_in_our_name_however_they_write_it() {
        for claim in [
            "x-mainstay-key",
            "x_mainstay_key",
            "x-mainstay_key",
            "x-forwarded-for",
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "proxy",
            "content_length",
            "dapr_api_token",
        ] {
            assert!(is_claim(claim), "{claim}");
        }
        for plain in ["accept", "cookie", "x-request-id", "x_mine", "x-mine", "authorization", "traceparent"]
        {
            assert!(!is_claim(plain), "{plain}");
        }
    }
}
