//! Resiliency: what a file says, and the policies that come of it for an app.

use std::time::Duration;

use mainstay_config::resources::policies;
use mainstay_core::resiliency::{
    ActorTarget, AppTarget, Backoff, Breaker, BreakerScope, BuiltIn, ComponentTarget, Direction, PolicyNames,
    Retry,
};

use crate::fakes::load_good;

const RESILIENCY: &str = "
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: resiliency }
scopes: [shop]
spec:
  policies:
    timeouts: { general: 5s, short: 250, DefaultAppTimeoutPolicy: 2s }
    retries:
      again: { policy: constant, duration: 100, maxRetries: 10, matching: { httpStatusCodes: '429,501-503', gRPCStatusCodes: 14 } }
      longer: { policy: Exponential, maxInterval: 15s, maxRetries: -1 }
      bare: {}
      DaprBuiltInServiceRetries: { duration: 2s, maxRetries: 1 }
      DaprBuiltInActorNotFoundRetries: { maxRetries: 100 }
    circuitBreakers:
      simple: { maxRequests: 2, interval: 8s, timeout: 45s, trip: consecutiveFailures > 8 }
      bare:
  targets:
    apps: { checkout: { timeout: general, retry: again, circuitBreaker: simple } }
    actors: { cart: { retry: longer, circuitBreaker: simple, circuitBreakerScope: both, circuitBreakerCacheSize: 7 } }
    components: { orders: { outbound: { retry: DaprBuiltInActorRetries }, inbound: { circuitBreaker: bare } } }
";

fn names(timeout: Option<&str>, retry: Option<&str>, breaker: Option<&str>) -> PolicyNames {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    PolicyNames { timeout: owned(timeout), retry: owned(retry), breaker: owned(breaker) }
}

#[test]
fn policies_and_targets_are_what_the_file_says() {
    let loaded = load_good(RESILIENCY);
    let [document] = loaded.resources.resiliencies.as_slice() else { panic!("one document") };
    let named = &document.policies;
    assert_eq!(named.timeouts["short"], Duration::from_millis(250));
    let constant = |wait, retries_max| Retry {
        backoff: Backoff::Constant(wait),
        retries_max,
        statuses: None,
        codes: None,
    };
    let again = Retry {
        statuses: Some(vec![(429, 429), (501, 503)]),
        codes: Some(vec![(14, 14)]),
        ..constant(Duration::from_millis(100), Some(10))
    };
    assert_eq!(named.retries["again"], again);
    assert_eq!(named.retries["bare"], constant(Duration::from_secs(5), None));
    let Backoff::Exponential { initial, wait_max, .. } = named.retries["longer"].backoff else {
        panic!("exponential")
    };
    assert_eq!((initial, wait_max), (Duration::from_millis(500), Duration::from_secs(15)));
    let breaker = |requests_max, interval, timeout, trip: Option<&str>| Breaker {
        requests_max,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(timeout),
        trip: trip.map(str::to_owned),
    };
    assert_eq!(named.breakers["simple"], breaker(2, 8, 45, Some("consecutiveFailures > 8")));
    assert_eq!(named.breakers["bare"], breaker(1, 0, 60, None));
    let targets = &document.targets;
    let app =
        AppTarget { policies: names(Some("general"), Some("again"), Some("simple")), breakers_max: 100 };
    assert_eq!(targets.apps["checkout"], app);
    let actor = ActorTarget {
        policies: names(None, Some("longer"), Some("simple")),
        breaker_scope: BreakerScope::Both,
        breakers_max: 7,
    };
    assert_eq!(targets.actors["cart"], actor);
    let component = ComponentTarget {
        inbound: names(None, None, Some("bare")),
        outbound: names(None, Some("DaprBuiltInActorRetries"), None),
    };
    assert_eq!(targets.components["orders"], component);
}

#[test]
fn policies_of_an_app_are_what_is_built_in_and_its_documents_over_it() {
    let resources = load_good(RESILIENCY).resources;
    let shop = policies(&resources.resiliencies, "shop");
    let retries = |of: BuiltIn| (shop.built_in[&of].backoff, shop.built_in[&of].retries_max);
    let second = Duration::from_secs(1);
    assert_eq!(
        retries(BuiltIn::Invocation),
        (Backoff::Constant(2 * second), Some(3)),
        "never fewer than three"
    );
    assert_eq!(retries(BuiltIn::ActorPlace), (Backoff::Constant(second), Some(5)), "not to be changed");
    assert_eq!(retries(BuiltIn::Actor), (Backoff::Constant(second), Some(3)));
    assert_eq!(shop.built_in[&BuiltIn::Start].retries_max, Some(3));
    assert_eq!(shop.built_in[&BuiltIn::Reminder].retries_max, None);
    assert_eq!(shop.for_app("other").timeout, Some(2 * second));
    assert_eq!(shop.for_app("checkout").breaker.map(|(name, _)| name), Some("simple"));
    let outbound = shop.for_component("orders", "Statestore", Direction::Outbound);
    assert_eq!(outbound.retry, Some(&shop.built_in[&BuiltIn::Actor]));

    let audit = policies(&resources.resiliencies, "audit");
    assert_eq!(audit.built_in[&BuiltIn::Invocation].backoff, Backoff::Constant(second), "out of scope");
    assert!(audit.targets.apps.is_empty() && audit.for_app("other").timeout.is_none());
}
