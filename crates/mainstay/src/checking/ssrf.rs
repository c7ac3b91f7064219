//! Whether a caller can make the service fetch addresses: questions that name some, and listeners there that wait for it.
//!
//! It shows what the service can reach of this machine, no more: ask from the service's own network.

mod questions;
mod trap;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Method;
use mainstay_ship::checks::{Finding, Item, Verdict};
use serde_json::Value;

use super::service::{Ask, Service};
use super::{LiveRule, When};
use questions::{Question, VARIANTS};
use trap::Trap;

/// Operations that are asked.
const OPERATIONS_MAX: usize = 12;
/// Operations that are asked at once.
const AT_ONCE: usize = 4;
/// Longest time for all questions.
const TIME_MAX: Duration = Duration::from_secs(90);
/// How long somebody may take to come after the last answer.
const SETTLE: Duration = Duration::from_secs(2);
/// How the machine's own description begins where clouds serve it: words that no question has, in their order.
const METADATA: &[&str] = &["ami-id\nami-launch-index", "ami-id\\nami-launch-index"];

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::gate(
        "security/live-ssrf",
        "no caller makes the service fetch an address inside",
        "fetch no address that a caller names; where that is the task, look it up first and refuse what is not public",
    ),
    when: When::First,
    ask: |service| Box::pin(ssrf(service)),
}];

/// An operation that takes a question.
struct Operation<'s> {
    template: &'s str,
    path: String,
    schema: &'s Value,
}

/// What was said to a question.
struct Said {
    template: String,
    status: Option<u16>,
    /// What an answer shows that can only come from an address.
    shown: Option<&'static str>,
}

async fn ssrf(service: &Service) -> Verdict {
    let trap = match Trap::set(&service.given.base).await {
        Ok(trap) => trap,
        Err(error) => return Verdict::Unknown(format!("nothing can listen here: {error}")),
    };
    let operations = operations(service).await;
    if operations.is_empty() {
        return Verdict::Unknown("the service describes no operation that takes a question".to_owned());
    }
    let model = first_name(service, "/v1/models").await;
    let (trap, model) = (&trap, model.as_deref());
    let asked = operations.iter().enumerate();
    let asked: Vec<_> = asked.map(|at| ask(service, trap, model, at).boxed()).collect();
    let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
    let (deadline, mut said) = (tokio::time::Instant::now() + TIME_MAX, Vec::new());
    // Who has not answered by then may have fetched all the same.
    while let Ok(Some(one)) = tokio::time::timeout_at(deadline, asked.next()).await {
        said.extend(one);
    }
    trap.caught_within(SETTLE).await;
    judged(service, trap, &operations, &said)
}

fn judged(service: &Service, trap: &Trap, operations: &[Operation<'_>], said: &[Said]) -> Verdict {
    let template =
        |attempt: usize| operations.get(attempt / VARIANTS).map_or("?", |operation| operation.template);
    let came = trap.caught().into_iter().map(|caught| match caught {
        Some((attempt, host)) => {
            format!("POST {} made the service fetch `http://{host}/…`", template(attempt))
        }
        None => "something connected to the listener of this check, and asked for nothing of it".to_owned(),
    });
    let shown = said.iter().filter_map(|one| Some(format!("POST {} {}", one.template, one.shown?)));
    let found: BTreeSet<String> = came.chain(shown).collect();
    if !found.is_empty() {
        let found = found.into_iter().map(|what| Finding { place: None, what });
        return Verdict::Fail(found.collect());
    }
    let taken = |said: &&Said| said.status.is_some_and(|status| (200..300).contains(&status));
    let taken: BTreeSet<&str> = said.iter().filter(taken).map(|one| one.template.as_str()).collect();
    if !taken.is_empty() {
        return Verdict::Pass(format!(
            "{} operations took questions with {} forms of addresses of {}, and nobody came",
            taken.len(),
            trap.forms(),
            trap.places()
        ));
    }
    if service.given.key.is_none() && said.iter().any(|one| matches!(one.status, Some(401 | 403))) {
        return Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
    }
    Verdict::Unknown("no operation took a question".to_owned())
}

/// Asks an operation, from the fullest form of a question to the plainest, until one is taken.
async fn ask(
    service: &Service,
    trap: &Trap,
    model: Option<&str>,
    (at, operation): (usize, &Operation<'_>),
) -> Vec<Said> {
    let mut all = Vec::new();
    let mut before = None;
    for variant in 0..VARIANTS {
        let urls = trap.urls(at * VARIANTS + variant);
        let first = urls.first().cloned().unwrap_or_default();
        let question = Question { path: &operation.path, schema: operation.schema, model, urls: &urls };
        let (body, shape) = (question.body(variant), question.shape(variant));
        // A schema without places for addresses gives the same twice.
        if before.as_ref() == Some(&shape) {
            continue;
        }
        before = Some(shape);
        let mut ask = Ask { method: Method::POST, ..Ask::post(&operation.path, &body) };
        if variant + 1 < VARIANTS {
            let named = ["referer", "x-callback-url", "x-webhook-url"];
            ask.headers.extend(named.map(|name| (name, first.as_str())));
            ask.headers.push(("x-forwarded-host", trap.authority()));
        }
        let answer = service.question(ask).await.ok();
        let shown = answer.as_ref().and_then(|answer| {
            if answer.body.contains(trap.word()) {
                Some("gave back what the listener of this check answered")
            } else if METADATA.iter().any(|text| answer.body.contains(text)) {
                Some("gave back what the machine's address for its metadata answers")
            } else {
                None
            }
        });
        let status = answer.map(|answer| answer.status);
        all.push(Said { template: operation.template.to_owned(), status, shown });
        if status.is_none_or(|status| (200..300).contains(&status) || status >= 500) {
            break;
        }
    }
    all
}

/// The operations that take a question, those that answer whole first; of several that take the same, one.
async fn operations(service: &Service) -> Vec<Operation<'_>> {
    let streams = |operation: &Value| {
        let answers = operation["responses"]["200"]["content"].as_object();
        answers.is_some_and(|answers| answers.contains_key("text/event-stream"))
    };
    let mut all: Vec<_> = service
        .operations()
        .into_iter()
        .filter(|(_, method, operation)| *method == Method::POST && operation.get("requestBody").is_some())
        .collect();
    all.sort_by_key(|(path, _, operation)| (streams(operation), path.matches('{').count(), path.len()));
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for (template, _, operation) in all {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if found.len() == OPERATIONS_MAX || !seen.insert(schema.to_string()) {
            continue;
        }
        if let Some(path) = addressed(service, template).await {
            found.push(Operation { template, path, schema: questions::resolved(&service.document, schema) });
        }
    }
    found
}

/// A path with the name of something that there is in the place of its parameter, if it has one.
async fn addressed(service: &Service, template: &str) -> Option<String> {
    let Some((before, rest)) = template.split_once("/{") else { return Some(template.to_owned()) };
    let (_, after) = rest.split_once('}')?;
    let name = first_name(service, before).await.filter(|_| !after.contains('{'))?;
    Some(format!("{before}/{name}{after}"))
}

/// The name of the first thing that a list has.
async fn first_name(service: &Service, path: &str) -> Option<String> {
    let answer = service.send(Ask::get(path)).await.ok().filter(|answer| answer.status == 200)?;
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let first = body.as_object()?.values().find_map(|value| value.as_array()?.first())?;
    let name = ["name", "id"].iter().find_map(|name| first[name].as_str())?;
    // It goes into a path.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(plain).then(|| name.to_owned())
}
