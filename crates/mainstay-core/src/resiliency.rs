//! Resiliency as files say it: named timeouts, retries and circuit breakers, and what they apply to.
//!
//! A [`Resiliency`] is one document. [`Policies`] is what holds for one app: its documents on top of each other and of
//! what is built in. Nothing is run here.

use std::collections::BTreeMap;
use std::time::Duration;

/// One document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resiliency {
    /// Its name; may be empty.
    pub name: String,
    /// The policies that it defines.
    pub policies: Named,
    /// What they apply to.
    pub targets: Targets,
    /// The apps that it is for; all when empty.
    pub scopes: Vec<String>,
    /// The file it comes from, with the line: for messages.
    pub origin: String,
}

/// Policies by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// Longest times of an attempt.
    pub timeouts: BTreeMap<String, Duration>,
    /// Retries.
    pub retries: BTreeMap<String, Retry>,
    /// Circuit breakers.
    pub breakers: BTreeMap<String, Breaker>,
}

/// How often and when something is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The waits.
    pub backoff: Backoff,
    /// Attempts after the first; without end when `None`.
    pub retries_max: Option<u32>,
    /// Statuses of a request-response protocol that are worth another attempt, as inclusive ranges; all when `None`.
    pub statuses: Option<Vec<(u16, u16)>>,
    /// The same for the codes of remote calls, 0 to 16.
    pub codes: Option<Vec<(u16, u16)>>,
}

/// The waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backoff {
    /// Always the same.
    Constant(Duration),
    /// Each longer than the one before.
    Exponential {
        /// The first.
        initial: Duration,
        /// What the next is longer by.
        factor: f64,
        /// How far each may be off, as a share of it.
        jitter: f64,
        /// The longest.
        wait_max: Duration,
        /// Time since the first attempt after which there is no other; without end when `None`.
        elapsed_max: Option<Duration>,
    },
}

/// When to stop trying at all, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Requests let through while it is half open, at least 1.
    pub requests_max: u32,
    /// How often a closed one forgets its counts; never when zero.
    pub interval: Duration,
    /// How long it stays open.
    pub timeout: Duration,
    /// The condition to open, as written, over `requests`, `totalSuccesses`, `totalFailures`, `consecutiveSuccesses`
    /// and `consecutiveFailures`; more than five failures in a row when `None`.
    pub trip: Option<String>,
}

/// What policies apply to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Calls of apps, by app id.
    pub apps: BTreeMap<String, AppTarget>,
    /// Calls of actors, by type.
    pub actors: BTreeMap<String, ActorTarget>,
    /// Calls of components, by name.
    pub components: BTreeMap<String, ComponentTarget>,
}

/// Names of policies; `None` is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyNames {
    /// Of a timeout.
    pub timeout: Option<String>,
    /// Of a retry.
    pub retry: Option<String>,
    /// Of a circuit breaker.
    pub breaker: Option<String>,
}

/// Policies for calls of an app. There is a breaker for each of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTarget {
    /// The policies.
    pub policies: PolicyNames,
    /// Breakers kept at once, the least used forgotten first.
    pub breakers_max: usize,
}

/// Policies for calls of a type of actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorTarget {
    /// The policies. Retry and breaker are around the wait for the actor's turn, the timeout is inside.
    pub policies: PolicyNames,
    /// What there is a breaker for.
    pub breaker_scope: BreakerScope,
    /// Breakers kept at once, the least used forgotten first.
    pub breakers_max: usize,
}

/// What there is a circuit breaker for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerScope {
    /// The type of actor.
    #[default]
    Type,
    /// Each actor.
    Id,
    /// Both.
    Both,
}

/// Policies for a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentTarget {
    /// For what comes from it to the app.
    pub inbound: PolicyNames,
    /// For what goes to it.
    pub outbound: PolicyNames,
}

/// The way of a call between the runtime and a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From it.
    Inbound,
    /// To it.
    Outbound,
}

/// What is tried again without a policy of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    /// Invoking another app, when it could not be reached.
    Invocation,
    /// Calling an actor elsewhere.
    Actor,
    /// Firing a reminder.
    Reminder,
    /// Looking for an actor's place.
    ActorPlace,
    /// Asking the app at start.
    Start,
}

/// What holds for one app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// The policies by name, the built-in ones among them.
    pub named: Named,
    /// What is built in, as files have changed it.
    pub built_in: BTreeMap<BuiltIn, Retry>,
    /// What they apply to.
    pub targets: Targets,
}

/// Policies that were looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen<'p> {
    /// The longest time of an attempt.
    pub timeout: Option<Duration>,
    /// The retry.
    pub retry: Option<&'p Retry>,
    /// The breaker's name and itself.
    pub breaker: Option<(&'p str, &'p Breaker)>,
}

impl Policies {
    /// What holds for calls of an app.
    #[must_use]
    pub fn for_app(&self, app: &str) -> Chosen<'_> {
        match self.targets.apps.get(app) {
            Some(target) => self.chosen(&target.policies),
            None => self.default_of(&["App".to_owned()]),
        }
    }

    /// What holds for calls of a type of actor.
    #[must_use]
    pub fn for_actor(&self, kind: &str) -> Chosen<'_> {
        match self.targets.actors.get(kind) {
            Some(target) => self.chosen(&target.policies),
            None => self.default_of(&["Actor".to_owned()]),
        }
    }

    /// What holds for a component. `block` is the building block as names of default policies have it, e.g. `Pubsub`.
    #[must_use]
    pub fn for_component(&self, name: &str, block: &str, direction: Direction) -> Chosen<'_> {
        let way = match direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
        };
        match (self.targets.components.get(name), direction) {
            (Some(target), Direction::Inbound) => self.chosen(&target.inbound),
            (Some(target), Direction::Outbound) => self.chosen(&target.outbound),
            (None, _) => {
                let levels =
                    [format!("{block}Component{way}"), format!("Component{way}"), "Component".to_owned()];
                self.default_of(&levels)
            }
        }
    }

    fn chosen(&self, names: &PolicyNames) -> Chosen<'_> {
        let Named { timeouts, retries, breakers } = &self.named;
        Chosen {
            timeout: names.timeout.as_ref().and_then(|name| timeouts.get(name)).copied(),
            retry: names.retry.as_ref().and_then(|name| retries.get(name)),
            breaker: names
                .breaker
                .as_ref()
                .and_then(|name| breakers.get_key_value(name))
                .map(|(name, breaker)| (name.as_str(), breaker)),
        }
    }

    /// The policies that hold by their name alone: `Default<level>RetryPolicy` and so on, the narrowest level first,
    /// then the one without a level.
    fn default_of(&self, levels: &[String]) -> Chosen<'_> {
        let Named { timeouts, retries, breakers } = &self.named;
        let names = |what: &str| {
            let all = levels.iter().map(String::as_str).chain([""]);
            all.map(|level| format!("Default{level}{what}Policy")).collect::<Vec<_>>()
        };
        Chosen {
            timeout: names("Timeout").iter().find_map(|name| timeouts.get(name)).copied(),
            retry: names("Retry").iter().find_map(|name| retries.get(name)),
            breaker: names("CircuitBreaker")
                .iter()
                .find_map(|name| breakers.get_key_value(name))
                .map(|(name, breaker)| (name.as_str(), breaker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies() -> Policies {
        let second = Duration::from_secs(1);
        let timeouts = [
            ("own", second),
            ("DefaultTimeoutPolicy", 2 * second),
            ("DefaultAppTimeoutPolicy", 3 * second),
            ("DefaultComponentTimeoutPolicy", 4 * second),
            ("DefaultComponentInboundTimeoutPolicy", 5 * second),
            ("DefaultPubsubComponentInboundTimeoutPolicy", 6 * second),
        ];
        let mut policies = Policies::default();
        policies.named.timeouts = timeouts.map(|(name, time)| (name.to_owned(), time)).into();
        let own = PolicyNames { timeout: Some("own".to_owned()), ..PolicyNames::default() };
        let target = ComponentTarget { inbound: own, outbound: PolicyNames::default() };
        policies.targets.components.insert("orders".to_owned(), target);
        policies
    }

    #[test]
    fn the_narrowest_default_policy_holds_where_nothing_is_said_of_a_target() {
        let policies = policies();
        let seconds = |chosen: Chosen<'_>| chosen.timeout.map(|time| time.as_secs());
        assert_eq!(seconds(policies.for_app("shop")), Some(3));
        assert_eq!(seconds(policies.for_actor("cart")), Some(2));
        assert_eq!(seconds(policies.for_component("x", "Pubsub", Direction::Inbound)), Some(6));
        assert_eq!(seconds(policies.for_component("x", "Lock", Direction::Inbound)), Some(5));
        assert_eq!(seconds(policies.for_component("x", "Lock", Direction::Outbound)), Some(4));
    }

    #[test]
    fn a_target_that_is_named_has_no_default_policies() {
        let policies = policies();
        let of = |direction| policies.for_component("orders", "Statestore", direction).timeout;
        assert_eq!(of(Direction::Inbound), Some(Duration::from_secs(1)));
        assert_eq!(of(Direction::Outbound), None);
    }
}
