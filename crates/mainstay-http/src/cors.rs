//! Browsers' cross-origin rules (Fetch standard, section 3.3): denied unless the spec allows the origin. Refuses
//! nothing itself: a browser that gets no leave keeps the answer from its page.

use http::{HeaderMap, HeaderValue, Method, header};

/// Methods of the API, and of apps.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Answer headers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, request-id, retry-after, location, x-run-id, x-session-id, x-ratelimit-limit-requests, \
     x-ratelimit-remaining-requests, idempotency-replayed, x-mainstay-dropped",
);
/// Request headers that pages may send, where the preflight names none.
const ALLOWED: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins that pages may call from.
pub(crate) struct Cors {
    any: bool,
    origins: Vec<HeaderValue>,
}

impl Cors {
    pub(crate) fn new(origins: &[String]) -> Self {
        let origins: Vec<_> =
            origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        Self { any: origins.contains(&ANY), origins }
    }

    /// What to answer as `access-control-allow-origin`; `None` for a request that is not a page's, or not of an allowed
    /// one.
    pub(crate) fn allow(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.any {
            return Some(ANY);
        }
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// Adds the leave to an answer. Caches must keep answers to different origins apart, allowed or not.
    pub(crate) fn sign(&self, allowed: Option<HeaderValue>, answer: &mut HeaderMap) {
        if !self.any && !self.origins.is_empty() {
            answer.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = allowed {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// Whether a request asks what a page may send.
pub(crate) fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    *method == Method::OPTIONS && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight of an allowed origin.
pub(crate) fn allow_request(request: &HeaderMap, answer: &mut HeaderMap) {
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(ALLOWED));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    answer.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
}
