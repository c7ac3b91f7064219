//! Access: who calls, and whether they may now. The one place that reads credentials.
//!
//! Order: the key (or the rule for callers without one), its rate, its seats. To add a way to identify a caller: a file
//! in `access/` that turns headers into a [`Principal`], and a line in [`Gate::identify`].

mod keys;
mod limits;
mod local;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use mainstay_core::plan::Anonymous;
use mainstay_core::{Error, Principal, Result, codes};
use tokio::sync::OwnedSemaphorePermit;

use crate::settings::Access;
use keys::Ring;
pub(crate) use limits::Rate;

/// The other header that carries a key; Anthropic's clients use it.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The rules, ready to be asked.
pub(crate) struct Gate {
    ring: Ring,
    anonymous: Anonymous,
}

/// A request as the rules see it.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The host in the request line, where it stands there (HTTP/2, or an absolute form).
    pub(crate) authority: Option<&'a str>,
    pub(crate) version: http::Version,
    /// The other end of the connection, where known.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether it comes from a page that the spec lets in.
    pub(crate) is_allowed_page: bool,
}

/// Leave to go on.
pub(crate) struct Pass {
    pub(crate) principal: Principal,
    /// The key's seat; hold it until the answer has ended.
    pub(crate) seat: Option<OwnedSemaphorePermit>,
    /// How the key stands with its rate.
    pub(crate) rate: Option<Rate>,
}

/// No leave.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) error: Error,
    /// How the key stands, if it is its rate that is used up.
    pub(crate) rate: Option<Rate>,
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        Self { error, rate: None }
    }
}

impl Gate {
    /// The rules of `access`. Keys that `former` had with the same bounds keep their counts.
    pub(crate) fn new(access: &Access, former: Option<&Gate>) -> Self {
        Self { ring: Ring::new(&access.keys, former.map(|gate| &gate.ring)), anonymous: access.anonymous }
    }

    /// Lets a request in. Errors: `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RATE_LIMITED`, `CONCURRENCY_LIMITED`.
    pub(crate) fn admit(&self, caller: Caller<'_>) -> Result<Pass, Denied> {
        let Some(entry) = self.identify(caller)? else {
            return Ok(Pass { principal: Principal::Anonymous, seat: None, rate: None });
        };
        let used_up = |error| Denied { error, rate: entry.limits.used_up() };
        let rate = entry.limits.rate().map_err(used_up)?;
        let seat = entry.limits.seat()?;
        Ok(Pass { principal: Principal::Key(entry.name.clone()), seat, rate })
    }

    /// Takes the keys of the spec out of a request: they are nobody else's to see. Other credentials stay.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if bearer(headers).is_some_and(|key| self.ring.find(key).is_some()) {
            headers.remove(header::AUTHORIZATION);
        }
        if headers.get_all(X_API_KEY).iter().any(|key| self.ring.find(key.as_bytes()).is_some()) {
            headers.remove(X_API_KEY);
        }
    }

    /// The key shown, or `None` for a caller who may do without.
    fn identify(&self, caller: Caller<'_>) -> Result<Option<Arc<keys::Entry>>> {
        let headers = caller.headers;
        let shown = [bearer(headers), headers.get(X_API_KEY).map(http::HeaderValue::as_bytes)];
        if !self.ring.is_empty() {
            if let Some(entry) = shown.iter().flatten().find_map(|key| self.ring.find(key)) {
                return Ok(Some(entry));
            }
            if shown.iter().any(Option::is_some) {
                return Err(Error::new(&codes::UNAUTHENTICATED, "the API key is not known here"));
            }
        }
        match self.anonymous {
            Anonymous::Anyone => Ok(None),
            Anonymous::Loopback if self.ring.is_empty() => local::check(caller).map(|()| None),
            Anonymous::Loopback | Anonymous::Nobody => {
                let help = "send it as `authorization: Bearer KEY` or `x-api-key: KEY`";
                Err(Error::new(&codes::UNAUTHENTICATED, "an API key is needed").with_help(help))
            }
        }
    }
}

/// The token of `authorization: Bearer …` (RFC 6750; the scheme in any case).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
