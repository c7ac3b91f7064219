//! Bounds: what is too much, and what is too slow.

use std::time::Duration;

use mainstay_ship::checks::{Item, Verdict};

use super::raw::{self, Reaction};
use super::service::Service;
use super::{LiveRule, When};

/// What a service may take beyond its own bound to act on it.
const MARGIN: Duration = Duration::from_secs(5);

pub(super) const RULES: &[LiveRule] = &[
    LiveRule {
        item: Item::gate(
            "api/live-body-limit",
            "a body that is too large is refused",
            "answer 413 as soon as a body is known to be larger than `server.body_bytes_max`",
        ),
        when: When::First,
        ask: |service| Box::pin(large_body(service)),
    },
    LiveRule {
        item: Item::new(
            "api/live-slow-header",
            "headers that do not come end the connection",
            "close what has sent no whole head within `server.header_timeout`",
        ),
        when: When::Waiting,
        ask: |service| Box::pin(slow_header(service)),
    },
    LiveRule {
        item: Item::new(
            "api/live-slow-body",
            "a body that does not come ends the request",
            "answer 408 where a body has not come within `server.body_timeout`",
        ),
        when: When::Waiting,
        ask: |service| Box::pin(slow_body(service)),
    },
];

/// The head of a question with a body of so many bytes, and where it goes.
fn question(service: &Service, body_bytes: u64) -> Option<((String, u16), String)> {
    let place = raw::place(service)?;
    let head = head(service, &place, service.asking(false).unwrap_or("/v1/invoke"), body_bytes);
    Some((place, head))
}

/// The head of a request with a key and a body of so many bytes, after which the connection is closed.
pub(super) fn head(service: &Service, place: &(String, u16), path: &str, body_bytes: u64) -> String {
    let key = service.given.key.as_deref().map(|key| format!("Authorization: Bearer {key}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {}Content-Length: {body_bytes}\r\n\r\n",
        place.0,
        place.1,
        key.unwrap_or_default()
    )
}

pub(super) fn over_tls() -> Verdict {
    Verdict::Unknown("behind TLS, bytes are not sent one by one: ask the service itself".to_owned())
}

async fn large_body(service: &Service) -> Verdict {
    let bytes = service.given.server.body_bytes_max + 1;
    let Some((place, head)) = question(service, bytes) else { return over_tls() };
    match raw::send(place, &head, bytes, service.given.server.body_timeout + MARGIN).await {
        Ok(Reaction::Status(413)) => Verdict::Pass(format!("{bytes} bytes were answered with 413")),
        Ok(Reaction::Status(401 | 403)) => {
            Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned())
        }
        Ok(Reaction::Status(status)) => Verdict::fail(format!("{bytes} bytes were answered with {status}")),
        Ok(Reaction::Closed) => {
            Verdict::fail(format!("{bytes} bytes ended the connection without an answer"))
        }
        Ok(Reaction::Waiting) => Verdict::fail(format!("{bytes} bytes were read, and nothing was said")),
        Err(error) => Verdict::fail(format!("{error}")),
    }
}

async fn slow_header(service: &Service) -> Verdict {
    let Some(place) = raw::place(service) else { return over_tls() };
    let head = format!("GET /health HTTP/1.1\r\nHost: {}\r\nX-Slow: ", place.0);
    let bound = service.given.server.header_timeout;
    judged(raw::send(place, &head, 0, bound + MARGIN).await, "a head that does not end", bound)
}

async fn slow_body(service: &Service) -> Verdict {
    const PROMISED: u64 = 100;
    let Some((place, mut head)) = question(service, PROMISED) else { return over_tls() };
    head.push('{');
    let bound = service.given.server.body_timeout;
    match raw::send(place, &head, 0, bound + MARGIN).await {
        Ok(Reaction::Status(401 | 403)) => {
            Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned())
        }
        other => judged(other, "a body that does not come", bound),
    }
}

fn judged(reaction: std::io::Result<Reaction>, what: &str, bound: Duration) -> Verdict {
    match reaction {
        Ok(Reaction::Status(status)) => Verdict::Pass(format!("{what} was answered with {status}")),
        Ok(Reaction::Closed) => Verdict::Pass(format!("{what} ended the connection")),
        Ok(Reaction::Waiting) => {
            Verdict::fail(format!("{what} is waited for longer than the {} s of the spec", bound.as_secs()))
        }
        Err(error) => Verdict::fail(format!("{error}")),
    }
}
