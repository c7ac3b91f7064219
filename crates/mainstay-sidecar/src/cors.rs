//! Which pages in browsers may call (the Fetch standard's CORS protocol). Without a list none may: nothing is said of
//! it.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::answer::Answer;

/// The methods that pages may use.
const METHODS: [Method; 6] =
    [Method::HEAD, Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The origins of such pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Reads a list with commas between: origins, each with at most one `*` for any part of it; `*` alone is every one.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let origins = list.split(',').map(|origin| origin.trim().to_ascii_lowercase());
        Self(origins.filter(|origin| !origin.is_empty()).collect())
    }

    fn all(&self) -> bool {
        self.0.iter().any(|origin| origin == "*")
    }

    fn admit(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|wanted| match wanted.split_once('*') {
            None => *wanted == origin,
            Some((start, end)) => {
                origin.len() >= start.len() + end.len() && origin.starts_with(start) && origin.ends_with(end)
            }
        })
    }

    /// The answer to a page that asks whether it may call; `None` for any other call.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Answer> {
        let method = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if parts.method != Method::OPTIONS {
            return None;
        }
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::OK;
        let headers = answer.headers_mut();
        for name in [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS] {
            headers.append(VARY, name.into());
        }
        let is_known = METHODS.iter().any(|known| known.as_str().as_bytes() == method.as_bytes());
        if let Some(allowed) = self.allowed(&parts.headers).filter(|_| is_known) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            if let Some(asked) = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        Some(answer)
    }

    /// What the answer to a page says: whether it may read it.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        if self.all() {
            return Some(HeaderValue::from_static("*"));
        }
        self.admit(origin.to_str().ok()?).then(|| origin.clone())
    }

    /// Adds it to an answer.
    pub(crate) fn add(&self, answer: &mut Answer, allowed: Option<HeaderValue>) {
        answer.headers_mut().append(VARY, ORIGIN.into());
        if let Some(allowed) = allowed {
            answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_admitted_by_its_name_or_its_ends() {
        let check = |list: &str, origin: &str, expect: bool| {
            assert_eq!(Origins::parse(list).admit(origin), expect, "{list} {origin}");
        };
        check("http://a.example, http://b.example", "http://B.example", true);
        check("http://a.example", "http://a.example.evil", false);
        check("https://*.a.example", "https://x.a.example", true);
        check("https://*.a.example", "https://a.example", false);
        check("*", "null", true);
        check("", "http://a.example", false);
    }
}
