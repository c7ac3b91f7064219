//! The policies that hold for one app: what is built in, and over it the documents that are for it, in their order.

use std::time::Duration;

use mainstay_core::component::admits;
use mainstay_core::resiliency::{Backoff, BuiltIn, Policies, Resiliency, Retry};

use super::resiliency::{WAIT_FACTOR, WAIT_FIRST, WAIT_JITTER};

/// Retries that hold without being named by a target, and the names under which files may change them.
const BUILT_IN: [(&str, BuiltIn); 5] = [
    ("DaprBuiltInServiceRetries", BuiltIn::Invocation),
    ("DaprBuiltInActorRetries", BuiltIn::Actor),
    ("DaprBuiltInActorReminderRetries", BuiltIn::Reminder),
    ("DaprBuiltInActorNotFoundRetries", BuiltIn::ActorPlace),
    ("DaprBuiltInInitializationRetries", BuiltIn::Start),
];

/// The least that a built-in retry can be changed to.
const RETRIES_MIN: u32 = 3;

/// The policies for an app. A document may change what is built in, but not to fewer than three retries, and not how
/// the place of an actor is looked for.
#[must_use]
pub fn policies<'r>(documents: impl IntoIterator<Item = &'r Resiliency>, app: &str) -> Policies {
    let mut all = Policies::default();
    for (name, built_in) in BUILT_IN {
        all.named.retries.insert(name.to_owned(), retry(built_in));
    }
    for document in documents.into_iter().filter(|document| admits(&document.scopes, app)) {
        let Resiliency { policies, targets, .. } = document.clone();
        all.named.timeouts.extend(policies.timeouts);
        all.named.breakers.extend(policies.breakers);
        for (name, mut retry) in policies.retries {
            match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
                Some((_, BuiltIn::ActorPlace)) => continue,
                Some(_) => retry.retries_max = Some(retry.retries_max.unwrap_or(0).max(RETRIES_MIN)),
                None => {}
            }
            all.named.retries.insert(name, retry);
        }
        all.targets.apps.extend(targets.apps);
        all.targets.actors.extend(targets.actors);
        all.targets.components.extend(targets.components);
    }
    let built_in =
        BUILT_IN.iter().filter_map(|(name, of)| Some((*of, all.named.retries.get(*name)?.clone())));
    all.built_in = built_in.collect();
    all
}

/// The names of what is built in.
pub(super) fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

fn retry(built_in: BuiltIn) -> Retry {
    let second = Duration::from_secs(1);
    let exponential = |wait_max, elapsed_max| Backoff::Exponential {
        initial: WAIT_FIRST,
        factor: WAIT_FACTOR,
        jitter: WAIT_JITTER,
        wait_max,
        elapsed_max: Some(elapsed_max),
    };
    let (backoff, retries_max) = match built_in {
        BuiltIn::Invocation | BuiltIn::Actor => (Backoff::Constant(second), Some(3)),
        BuiltIn::ActorPlace => (Backoff::Constant(second), Some(5)),
        // Until the time is over.
        BuiltIn::Reminder => (exponential(60 * second, 15 * 60 * second), None),
        BuiltIn::Start => (exponential(second, 10 * second), Some(3)),
    };
    Retry { backoff, retries_max, statuses: None, codes: None }
}
