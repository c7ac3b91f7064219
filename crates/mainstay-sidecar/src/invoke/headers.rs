//! Headers of a call on its way to its target, and of the answer on its way back.

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName};
use http::request::Parts;
use mainstay_dapr::{Token, invoke as wire};
use mainstay_net::hops::{self, strip_hop_by_hop};
use mainstay_net::server::Peer;

/// The way a caller names its target, and our own token: none of it is the target's to see.
const OURS: [&str; 2] = [wire::APP_ID, Token::HEADER];

/// The headers for the target. What says who calls whom is ours to say, whatever the caller says.
pub(super) fn forwarded(parts: &Parts, caller: &str, namespace: &str, callee: &str) -> HeaderMap {
    let mut headers = parts.headers.clone();
    strip_hop_by_hop(&mut headers);
    let host = headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    for name in OURS {
        headers.remove(name);
    }
    if names_target(&headers) {
        headers.remove(AUTHORIZATION);
    }
    set(&mut headers, wire::CALLER, caller);
    set(&mut headers, wire::CALLER_NAMESPACE, namespace);
    set(&mut headers, wire::CALLEE, callee);
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    hops::tell_origin(&mut headers, peer, host.as_ref().and_then(|host| host.to_str().ok()));
    headers
}

/// Sets a header; a value that is none leaves none.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    hops::set(headers, HeaderName::from_static(name), value);
}

/// Takes out what only runtimes tell each other.
pub(super) fn strip_own(headers: &mut HeaderMap) {
    let is_own = |name: &&HeaderName| name.as_str().starts_with(wire::BETWEEN_RUNTIMES);
    let own: Vec<HeaderName> = headers.keys().filter(is_own).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Whether the credentials of a call are its target's name: the user is `dapr-app-id`.
pub(super) fn names_target(headers: &HeaderMap) -> bool {
    super::target::of_credentials(headers).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_own_headers_stay_behind_and_nobody_says_who_he_is() {
        let request = http::Request::get("/x")
            .header("host", "here:3500")
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("te", "trailers")
            .header("content-length", "3")
            .header("dapr-api-token", "secret")
            .header("dapr-caller-app-id", "somebody")
            .header("x-mine", "1")
            .body(())
            .unwrap();
        let headers = forwarded(&request.into_parts().0, "shop", "default", "bank");
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let wanted = [
            "dapr-callee-app-id",
            "dapr-caller-app-id",
            "dapr-caller-namespace",
            "forwarded",
            "x-forwarded-host",
            "x-mine",
        ];
        assert_eq!(names, wanted);
        assert_eq!(headers["dapr-caller-app-id"], "shop");
    }
}
