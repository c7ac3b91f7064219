//! The request's id: the caller's own if it is well-formed, else a fresh one.

use http::{HeaderMap, HeaderName};
use mainstay_core::RequestId;

/// The header, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request with these headers.
pub(crate) fn of(headers: &HeaderMap) -> RequestId {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::parse).unwrap_or_else(RequestId::generate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &'static str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, given.parse().unwrap());
        assert_eq!(of(&headers).as_str() == given, kept, "{given:?}");
    }

    #[test]
    fn a_callers_id_is_kept_if_it_is_one() {
        check("abc-123", true);
        check("a b", false);
        check("a/b", false);
        check("", false);
    }

    #[test]
    fn without_one_it_is_made() {
        assert!(of(&HeaderMap::new()).as_str().starts_with("req_"));
    }
}
