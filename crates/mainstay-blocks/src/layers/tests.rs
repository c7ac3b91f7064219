//! Guards around calls that a test writes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_core::codes;
use mainstay_core::resiliency::{
    self, AppTarget, Backoff, BuiltIn, ComponentTarget, Direction, Policies, PolicyNames,
};
use tokio::time::Instant;

use super::*;

/// Layers in which only the policy of a name retries, so often.
pub(crate) fn retrying(name: &str, most: u32) -> Layers {
    let backoff = Backoff::Constant(Duration::from_secs(1));
    let retry = Retry { backoff, retries_max: Some(most), statuses: None, codes: None };
    let mut policies = Policies::default();
    policies.named.retries.insert(name.to_owned(), retry);
    Layers::new(policies).unwrap()
}

fn policies(timeout_s: Option<u64>, retries_max: Option<Option<u32>>, trip: Option<&str>) -> Policies {
    let mut policies = Policies::default();
    let retry = |retries_max| Retry {
        backoff: Backoff::Constant(Duration::from_secs(1)),
        retries_max,
        statuses: Some(vec![(500, 599)]),
        codes: None,
    };
    let name = |is_there: bool| is_there.then(|| "p".to_owned());
    let names = PolicyNames {
        timeout: name(timeout_s.is_some()),
        retry: name(retries_max.is_some()),
        breaker: name(trip.is_some()),
    };
    policies.named.timeouts.extend(timeout_s.map(|s| ("p".to_owned(), Duration::from_secs(s))));
    policies.named.retries.extend(retries_max.map(|most| ("p".to_owned(), retry(most))));
    policies.named.breakers.extend(trip.map(|trip| {
        let breaker = resiliency::Breaker {
            requests_max: 1,
            interval: Duration::ZERO,
            timeout: Duration::from_secs(60),
            trip: Some(trip.to_owned()),
        };
        ("p".to_owned(), breaker)
    }));
    let target = ComponentTarget { outbound: names.clone(), inbound: PolicyNames::default() };
    policies.targets.components.insert("orders".to_owned(), target);
    policies.targets.apps.insert("shop".to_owned(), AppTarget { policies: names, breakers_max: 2 });
    policies.built_in.insert(BuiltIn::Invocation, retry(Some(3)));
    policies
}

fn layers(timeout_s: Option<u64>, retries_max: Option<Option<u32>>, trip: Option<&str>) -> Layers {
    Layers::new(policies(timeout_s, retries_max, trip)).unwrap()
}

fn down() -> Error {
    Error::new(&codes::STORE_UNAVAILABLE, "down")
}

/// A call that fails for long.
const LONG: [fn() -> Error; 9] = [down; 9];

/// Makes a call that fails as `failures` say, then succeeds. How it ended, how often it was tried, and how long it
/// took.
async fn check(
    guard: &Guard,
    ctx: &Ctx,
    failures: &[fn() -> Error],
) -> (Option<&'static str>, u32, Duration) {
    let (began, tried) = (Instant::now(), AtomicU32::new(0));
    let call = |_| {
        let at = tried.fetch_add(1, Ordering::SeqCst) as usize;
        async move { failures.get(at).map_or(Ok(()), |failure| Err(failure())) }
    };
    let ended = guard.run(ctx, call).await;
    (ended.err().map(|error| error.code().id), tried.into_inner(), began.elapsed())
}

fn outbound(layers: &Layers) -> Guard {
    layers.component("orders", "Statestore", Direction::Outbound)
}

#[tokio::test(start_paused = true)]
async fn what_may_succeed_later_is_tried_again_as_often_as_is_asked_for() {
    let second = Duration::from_secs(1);
    let (guard, ctx) = (outbound(&layers(None, Some(Some(2)), None)), Ctx::system());
    assert_eq!(check(&guard, &ctx, &[down, down]).await, (None, 3, 2 * second));
    assert_eq!(check(&guard, &ctx, &LONG).await, (Some("STORE_UNAVAILABLE"), 3, 2 * second));
    let endless = outbound(&layers(None, Some(None), None));
    assert_eq!(check(&endless, &ctx, &LONG).await, (None, 10, 9 * second));
    let none = Guard::default();
    assert_eq!(check(&none, &ctx, &[down]).await, (Some("STORE_UNAVAILABLE"), 1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_must_change_is_never_tried_again() {
    let (guard, ctx) = (outbound(&layers(None, Some(None), Some("totalFailures > 0"))), Ctx::system());
    let stale = || Error::new(&codes::ETAG_MISMATCH, "changed");
    let bad = || Error::new(&codes::INVALID_FIELD, "bad");
    // Neither does it open the breaker.
    for _ in 0..2 {
        assert_eq!(check(&guard, &ctx, &[stale]).await, (Some("ETAG_MISMATCH"), 1, Duration::ZERO));
        assert_eq!(check(&guard, &ctx, &[bad]).await, (Some("INVALID_FIELD"), 1, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_match_are_not_tried_again() {
    let (guard, ctx) = (outbound(&layers(None, Some(Some(1)), None)), Ctx::system());
    let of = |status: u16| down().with_answer(status);
    assert_eq!(check(&guard, &ctx, &[|| down().with_answer(503)]).await.1, 2, "{:?}", of(503));
    assert_eq!(check(&guard, &ctx, &[|| down().with_answer(429)]).await.1, 1, "{:?}", of(429));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_caller_does() {
    let guard = outbound(&layers(None, Some(None), None));
    let end = Instant::now() + Duration::from_millis(2_500);
    let ctx = Ctx::system().with_deadline(end.into_std());
    assert_eq!(check(&guard, &ctx, &LONG).await, (Some("STORE_UNAVAILABLE"), 3, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_time() {
    let guard = outbound(&layers(Some(5), Some(Some(1)), None));
    let (began, tried) = (Instant::now(), AtomicU32::new(0));
    let call = |ctx: Ctx| {
        tried.fetch_add(1, Ordering::SeqCst);
        assert_eq!(ctx.remaining(Instant::now().into_std()), Some(Duration::from_secs(5)));
        std::future::pending::<Result<()>>()
    };
    let error = guard.run(&Ctx::system(), call).await.unwrap_err();
    assert_eq!((error.code().id, tried.into_inner()), ("DEADLINE_EXCEEDED", 2));
    assert_eq!(began.elapsed(), Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_the_retry_and_is_the_components_alone() {
    let layers = layers(None, Some(None), Some("consecutiveFailures > 1"));
    let (guard, ctx) = (outbound(&layers), Ctx::system());
    assert_eq!(check(&guard, &ctx, &LONG).await, (Some("CIRCUIT_OPEN"), 2, Duration::from_secs(2)));
    assert_eq!(check(&outbound(&layers), &ctx, &[]).await, (Some("CIRCUIT_OPEN"), 0, Duration::ZERO));
    let other = layers.component("carts", "Statestore", Direction::Outbound);
    assert_eq!(check(&other, &ctx, &[]).await, (None, 1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn of_several_items_only_those_that_failed_are_tried_again() {
    let guard = outbound(&layers(None, Some(Some(1)), None));
    let asked = Mutex::new(Vec::new());
    let call = |_, items: Vec<u32>| {
        let is_first = asked.lock().unwrap().is_empty();
        asked.lock().unwrap().push(items.clone());
        let answer = move |item| match item {
            2 if is_first => Err(down()),
            3 => Err(Error::new(&codes::ETAG_MISMATCH, "changed")),
            other => Ok(other * 10),
        };
        async move { items.into_iter().map(answer).collect() }
    };
    let ended = guard.run_each(&Ctx::system(), vec![1, 2, 3], call).await;
    let ended: Vec<_> = ended.into_iter().map(|one| one.map_err(|error| error.code().id)).collect();
    assert_eq!(ended, [Ok(10), Ok(20), Err("ETAG_MISMATCH")]);
    assert_eq!(asked.into_inner().unwrap(), [vec![1, 2, 3], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn an_app_without_policies_is_tried_again_while_it_cannot_be_reached() {
    let layers = layers(None, Some(Some(1)), None);
    let (named, other) = (layers.app("shop", "GET /a"), layers.app("bank", "GET /a"));
    let tried = async |guard: &Guard| check(guard, &Ctx::system(), &LONG).await.1;
    assert_eq!((tried(&named.asked).await, tried(&named.unreached).await), (2, 1));
    assert_eq!((tried(&other.asked).await, tried(&other.unreached).await), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_of_an_app_has_a_breaker_and_the_least_used_is_forgotten() {
    let layers = layers(None, None, Some("consecutiveFailures > 0"));
    let call = async |endpoint: &str, failures: &[fn() -> Error]| {
        check(&layers.app("shop", endpoint).asked, &Ctx::system(), failures).await.0
    };
    assert_eq!(call("a", &[down]).await, Some("STORE_UNAVAILABLE"));
    assert_eq!(call("a", &[]).await, Some("CIRCUIT_OPEN"));
    assert_eq!(call("b", &[]).await, None);
    assert_eq!(call("c", &[]).await, None);
    assert_eq!(call("a", &[]).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_with_what_the_last_attempt_came_to() {
    let (guard, stop) = (outbound(&layers(None, Some(None), None)), CancellationToken::new());
    stop.cancel();
    let call = |_| async { Err::<(), _>(down()) };
    let judge = |ended: &Result<()>| ended.as_ref().err().map_or(Outcome::Fine, Outcome::of);
    let error = guard.run_judged(&Ctx::system(), Some(&stop), call, judge).await.unwrap_err();
    assert_eq!(error.code(), &codes::STORE_UNAVAILABLE);
}
