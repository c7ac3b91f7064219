//! Resiliency: policies and what they apply to. That targets name policies that exist is checked over all files.

use std::collections::HashSet;
use std::time::Duration;

use mainstay_core::codes;
use mainstay_core::resiliency::{
    ActorTarget, AppTarget, Backoff, Breaker, BreakerScope, ComponentTarget, Named, PolicyNames, Resiliency,
    Retry, Targets,
};

use super::condition;
use super::head::{BESIDE_SPEC, Head};
use super::section::{Said, Section};
use crate::diagnostic::short;
use crate::place::Span;

/// Breakers kept for an app's endpoints, and for a type's actors, where the file does not say.
const APP_BREAKERS_MAX: usize = 100;
const ACTOR_BREAKERS_MAX: usize = 5_000;

/// What retries are where the file does not say.
const WAIT: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(60);
const ELAPSED_MAX: Duration = Duration::from_secs(15 * 60);
pub(super) const WAIT_FIRST: Duration = Duration::from_millis(500);
pub(super) const WAIT_FACTOR: f64 = 1.5;
pub(super) const WAIT_JITTER: f64 = 0.5;

/// How long a breaker stays open, where the file does not say.
const BREAKER_TIMEOUT: Duration = Duration::from_secs(60);

/// A name of a policy that a target has.
pub(super) struct Reference {
    pub(super) sort: Sort,
    pub(super) name: String,
    pub(super) span: Span,
}

/// A sort of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Timeout,
    Retry,
    Breaker,
}

/// Reads a document, and the references to policies in it.
pub(super) fn read(
    head: Head,
    document: &Section<'_, '_>,
    spec: Option<Section<'_, '_>>,
) -> (Resiliency, Vec<Reference>) {
    let name = head.name.map(|said| said.value).unwrap_or_default();
    let mut resiliency = Resiliency { name, scopes: head.scopes, ..Resiliency::default() };
    let mut references = Vec::new();
    let Some(mut spec) = spec else {
        super::empty_spec(document);
        return (resiliency, references);
    };
    resiliency.policies = spec.section("policies").map(policies).unwrap_or_default();
    let targets = spec.section("targets").map(|section| targets(section, &mut references));
    resiliency.targets = targets.unwrap_or_default();
    spec.finish_beside(&BESIDE_SPEC);
    (resiliency, references)
}

fn policies(mut section: Section<'_, '_>) -> Named {
    let mut named = Named::default();
    for (name, said) in section.texts_by_name("timeouts") {
        let path = format!("spec.policies.timeouts.{name}");
        named.timeouts.extend(section.as_time(&said, &path).map(|time| (name.to_owned(), time)));
    }
    for (name, policy) in section.named("retries") {
        named.retries.insert(name.to_owned(), retry(policy));
    }
    for (name, policy) in section.named("circuitBreakers") {
        named.breakers.insert(name.to_owned(), breaker(policy));
    }
    section.finish();
    named
}

fn retry(mut section: Section<'_, '_>) -> Retry {
    let exponential =
        section.choice("policy", &[("constant", false), ("exponential", true)]).unwrap_or(false);
    let wait = section.time("duration").unwrap_or(WAIT);
    let wait_max = section.time("maxInterval").unwrap_or(WAIT_MAX);
    // Below zero is without end.
    let retries_max = section.integer("maxRetries").and_then(|said| u32::try_from(said.value).ok());
    let (mut statuses, mut codes) = (None, None);
    if let Some(mut matching) = section.section("matching") {
        statuses = matching.text("httpStatusCodes").and_then(|said| ranges(&matching, &said, (100, 599)));
        codes = matching.text("gRPCStatusCodes").and_then(|said| ranges(&matching, &said, (0, 16)));
        matching.finish();
    }
    section.finish();
    let backoff = if exponential {
        Backoff::Exponential {
            initial: WAIT_FIRST,
            factor: WAIT_FACTOR,
            jitter: WAIT_JITTER,
            wait_max,
            elapsed_max: Some(ELAPSED_MAX),
        }
    } else {
        Backoff::Constant(wait)
    };
    Retry { backoff, retries_max, statuses, codes }
}

/// Codes and ranges of codes with commas between: `429,501-503`.
fn ranges(section: &Section<'_, '_>, said: &Said<String>, bounds: (u16, u16)) -> Option<Vec<(u16, u16)>> {
    let mut ranges = Vec::new();
    for part in said.value.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok().zip(last.parse().ok());
        match range.filter(|(first, last)| bounds.0 <= *first && first <= last && *last <= bounds.1) {
            Some(range) => ranges.push(range),
            None => {
                let message = format!("`{}` is no code or range of codes", short(part));
                let help =
                    format!("write codes from {} to {} like `A,B-C`, without spaces", bounds.0, bounds.1);
                section.fault(said.span, &codes::CONFIG_VALUE, message, Some(help));
                return None;
            }
        }
    }
    Some(ranges)
}

fn breaker(mut section: Section<'_, '_>) -> Breaker {
    let trip = section.text("trip");
    condition::check(&section, "trip", trip.as_ref());
    let breaker = Breaker {
        requests_max: section.count("maxRequests", 0).unwrap_or(0).max(1),
        interval: section.time("interval").unwrap_or(Duration::ZERO),
        timeout: section.time("timeout").filter(|time| !time.is_zero()).unwrap_or(BREAKER_TIMEOUT),
        trip: trip.map(|said| said.value),
    };
    section.finish();
    breaker
}

fn targets(mut section: Section<'_, '_>, references: &mut Vec<Reference>) -> Targets {
    let mut targets = Targets::default();
    for (name, target) in section.named("apps") {
        targets.apps.insert(name.to_owned(), app(target, references));
    }
    for (name, target) in section.named("actors") {
        targets.actors.insert(name.to_owned(), actor(target, references));
    }
    for (name, mut target) in section.named("components") {
        let mut way = |key: &'static str| {
            let mut section = target.section(key)?;
            let names = names(&mut section, references);
            section.finish();
            Some(names)
        };
        let (inbound, outbound) = (way("inbound"), way("outbound"));
        target.finish_beside(&[
            ("timeout", "it stands under `inbound` or `outbound`"),
            ("retry", "it stands under `inbound` or `outbound`"),
            ("circuitBreaker", "it stands under `inbound` or `outbound`"),
        ]);
        let target =
            ComponentTarget { inbound: inbound.unwrap_or_default(), outbound: outbound.unwrap_or_default() };
        targets.components.insert(name.to_owned(), target);
    }
    section.finish();
    targets
}

fn names(section: &mut Section<'_, '_>, references: &mut Vec<Reference>) -> PolicyNames {
    let mut named = |key: &'static str, sort: Sort| {
        let said = section.text(key)?;
        references.push(Reference { sort, name: said.value.clone(), span: said.span });
        Some(said.value)
    };
    PolicyNames {
        timeout: named("timeout", Sort::Timeout),
        retry: named("retry", Sort::Retry),
        breaker: named("circuitBreaker", Sort::Breaker),
    }
}

fn breakers_max(section: &mut Section<'_, '_>, default: usize) -> usize {
    let given = section.count("circuitBreakerCacheSize", 0).filter(|size| *size > 0);
    given.map_or(default, |size| size as usize)
}

fn app(mut section: Section<'_, '_>, references: &mut Vec<Reference>) -> AppTarget {
    let policies = names(&mut section, references);
    let breakers_max = breakers_max(&mut section, APP_BREAKERS_MAX);
    section.finish();
    AppTarget { policies, breakers_max }
}

fn actor(mut section: Section<'_, '_>, references: &mut Vec<Reference>) -> ActorTarget {
    let policies = names(&mut section, references);
    let breakers_max = breakers_max(&mut section, ACTOR_BREAKERS_MAX);
    let scopes = [("type", BreakerScope::Type), ("id", BreakerScope::Id), ("both", BreakerScope::Both)];
    let mut breaker_scope = BreakerScope::default();
    // Without a breaker the scope is not even looked at.
    if policies.breaker.is_some() {
        let about = "what there is a breaker for: `type`, `id` or `both`";
        if section.required_text("circuitBreakerScope", about).is_some() {
            breaker_scope = section.choice("circuitBreakerScope", &scopes).unwrap_or_default();
        }
    } else {
        section.known(&["circuitBreakerScope"]);
    }
    section.finish();
    ActorTarget { policies, breaker_scope, breakers_max }
}

/// What to say of a reference to a policy that is none of `known`.
pub(super) fn unknown(reference: &Reference, known: &HashSet<&str>) -> (String, Option<String>) {
    let noun = match reference.sort {
        Sort::Timeout => "timeout",
        Sort::Retry => "retry",
        Sort::Breaker => "circuit breaker",
    };
    let message = format!("there is no {noun} `{}`, and the target goes without", short(&reference.name));
    let mut names: Vec<&str> = known.iter().copied().collect();
    names.sort_unstable();
    (message, crate::nearest::help(&reference.name, names))
}
