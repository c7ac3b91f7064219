//! Secrets of the spec that can be read here, and must be read nowhere else.

use http::Method;
use mainstay_ship::checks::{Finding, Item, Verdict};

use super::service::{Ask, Service};
use super::{LiveRule, When};

/// Shorter values stand in any text.
const SECRET_CHARS_MIN: usize = 6;

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::gate(
        "config/live-secrets",
        "no answer shows a secret",
        "take the secret out of documents, metrics and errors, and replace it where it was issued",
    ),
    when: When::First,
    ask: |service| Box::pin(secrets(service)),
}];

async fn secrets(service: &Service) -> Verdict {
    let known = service.given.secrets.iter().filter(|(_, value)| value.chars().count() >= SECRET_CHARS_MIN);
    let known: Vec<_> = known.collect();
    if known.is_empty() {
        return Verdict::Unknown("no secret of the spec can be read here to look for".to_owned());
    }
    let asking = service.asking(false).unwrap_or("/v1/invoke").to_owned();
    let removal = Ask { method: Method::DELETE, ..Ask::get("/health") };
    let places = [
        Ask::get("/health"),
        Ask::get("/ready"),
        Ask::get("/docs"),
        Ask::get("/openapi.json"),
        Ask::get("/metrics"),
        Ask::get("/v1/there-is-no-such-path-here"),
        Ask::post(&asking, "{"),
        Ask::post(&asking, "{}"),
        removal,
    ];
    let (mut found, mut read) = (Vec::new(), 0_usize);
    for ask in places {
        let what = format!("{} {}", ask.method, ask.path);
        let Ok(answer) = service.send(ask).await else { continue };
        read += 1;
        let headers =
            answer.headers.values().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join("\n");
        for (name, value) in &known {
            if answer.body.contains(value.as_str()) || headers.contains(value.as_str()) {
                let what = format!("the answer to {what} shows the value of `{name}`");
                found.push(Finding { place: None, what });
            }
        }
    }
    Verdict::unless(found, format!("{} values, looked for in {read} answers", known.len()))
}
