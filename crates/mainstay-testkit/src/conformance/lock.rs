//! What every `LockStore` must do. To add a check: an `async fn` below and its name in the list.
//!
//! Each check opens a store of its own on a namespace that nobody else uses, and panics where a promise is broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use libtest_mimic::Trial;
use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::{Ctx, Error};

use super::suite;
pub use super::suite::prove;
pub use crate::servers::below::{Below, Need, Outage};

/// A store on an empty namespace, and what is below it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The store under test.
    fn store(&self) -> Arc<dyn LockStore>;

    /// The same namespace opened once more, as another process would.
    async fn again(&self) -> Arc<dyn LockStore>;

    /// Lets a little time go by: moves the clock that the store was given, or waits.
    async fn tick(&self);

    /// The servers that are the rig's own. None but with [`Need::Server`].
    fn below(&self) -> Below {
        Below::default()
    }
}

/// Opens a store.
pub type Open = Arc<dyn Fn(Need) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($list:ident: $($name:ident),* $(,)?) => {
        #[doc = "Checks, in the order of this file."]
        pub const $list: &[Check] =
            &[$(Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}

promises! {
    CHECKS:
    a_free_lock_is_taken_and_given_back,
    a_held_lock_is_refused_to_everyone,
    only_its_owner_gives_it_back,
    locks_of_other_names_are_others,
    of_many_who_try_at_once_one_gets_it,
    a_lock_ends_after_its_time_and_not_before,
    who_has_lost_a_lock_does_not_take_it_from_the_next,
    another_process_sees_who_holds_it,
}

promises! {
    OUTAGES:
    a_server_that_is_gone_is_unavailable_until_it_is_back,
    a_server_that_does_not_answer_is_given_up_at_the_deadline,
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with
/// the reason; they are shown as ignored.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, CHECKS.iter().chain(OUTAGES).copied(), not_run)
}

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);
/// What a call has where it is to fail; much less than what the test waits for it.
const DEADLINE: Duration = Duration::from_millis(500);

fn within(time: Duration) -> Ctx {
    Ctx::system().with_deadline(Instant::now() + time)
}

#[derive(Clone)]
struct Store(Arc<dyn LockStore>);

impl Store {
    async fn lock(&self, name: &str, owner: &str, time: Duration) -> bool {
        let locked = self.0.try_lock(&within(PATIENCE), name, owner, time).await;
        locked.unwrap_or_else(|error| panic!("{name:?} is asked for: {error:?}"))
    }

    async fn unlock(&self, name: &str, owner: &str) -> Unlocked {
        let done = self.0.unlock(&within(PATIENCE), name, owner).await;
        done.unwrap_or_else(|error| panic!("{name:?} is given back: {error:?}"))
    }
}

async fn fresh(open: &Open) -> (Arc<dyn Rig>, Store) {
    let rig = open(Need::Namespace).await;
    let store = Store(rig.store());
    (rig, store)
}

/// Waits until the other owner gets the lock.
async fn passes_to(rig: &Arc<dyn Rig>, store: &Store, name: &str, owner: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !store.lock(name, owner, LONG).await {
        assert!(Instant::now() < deadline, "`{name}` outlives its time");
        rig.tick().await;
    }
}

async fn a_free_lock_is_taken_and_given_back(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.0.ready(&within(PATIENCE)).await.expect("it is ready");
    for _ in 0..3 {
        assert!(store.lock("l", "a", LONG).await);
        assert_eq!(store.unlock("l", "a").await, Unlocked::Done);
        assert_eq!(store.unlock("l", "a").await, Unlocked::NotHeld);
    }
}

async fn a_held_lock_is_refused_to_everyone(open: Open) {
    let (_rig, store) = fresh(&open).await;
    assert!(store.lock("l", "a", LONG).await);
    assert!(!store.lock("l", "b", LONG).await);
    assert!(!store.lock("l", "a", LONG).await, "its own owner gets it a second time");
}

async fn only_its_owner_gives_it_back(open: Open) {
    let (_rig, store) = fresh(&open).await;
    assert_eq!(store.unlock("l", "a").await, Unlocked::NotHeld);
    assert!(store.lock("l", "a", LONG).await);
    for other in ["b", "A", "", "a "] {
        assert_eq!(store.unlock("l", other).await, Unlocked::HeldByAnother, "{other:?}");
    }
    assert!(!store.lock("l", "b", LONG).await, "it was given back by another");
    assert_eq!(store.unlock("l", "a").await, Unlocked::Done);
}

async fn locks_of_other_names_are_others(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let names = ["l", "L", "lock||app||l", "a b", "é", "l*", "{l}"];
    for name in names {
        assert!(store.lock(name, name, LONG).await, "{name:?}");
    }
    for name in names {
        assert_eq!(store.unlock(name, name).await, Unlocked::Done, "{name:?}");
    }
}

async fn of_many_who_try_at_once_one_gets_it(open: Open) {
    let (rig, store) = fresh(&open).await;
    let other = Store(rig.again().await);
    for round in 0..10 {
        let name = format!("l{round}");
        let tries = (0..16).map(|who| {
            let (store, name) = (if who % 2 == 0 { store.clone() } else { other.clone() }, name.clone());
            tokio::spawn(async move { store.lock(&name, &who.to_string(), LONG).await })
        });
        let got = join_all(tries).await.into_iter().filter(|got| *got.as_ref().expect("a try ends")).count();
        assert_eq!(got, 1, "{got} owners have `{name}`");
    }
}

async fn a_lock_ends_after_its_time_and_not_before(open: Open) {
    let (rig, store) = fresh(&open).await;
    assert!(store.lock("long", "a", LONG).await);
    assert!(store.lock("short", "a", SHORT).await);
    passes_to(&rig, &store, "short", "b").await;
    assert!(!store.lock("long", "b", LONG).await, "it ended before its time");
}

async fn who_has_lost_a_lock_does_not_take_it_from_the_next(open: Open) {
    let (rig, store) = fresh(&open).await;
    assert!(store.lock("l", "a", SHORT).await);
    passes_to(&rig, &store, "l", "b").await;
    assert_eq!(store.unlock("l", "a").await, Unlocked::HeldByAnother);
    assert_eq!(store.unlock("l", "b").await, Unlocked::Done);
}

async fn another_process_sees_who_holds_it(open: Open) {
    let (rig, store) = fresh(&open).await;
    let other = Store(rig.again().await);
    assert!(store.lock("l", "a", LONG).await);
    assert!(!other.lock("l", "b", LONG).await);
    assert_eq!(other.unlock("l", "b").await, Unlocked::HeldByAnother);
    assert_eq!(other.unlock("l", "a").await, Unlocked::Done);
    assert!(store.lock("l", "b", LONG).await);
}

/// The failures of one call of each kind.
async fn failures(store: &Store) -> Vec<Error> {
    vec![
        store.0.try_lock(&within(DEADLINE), "l", "b", LONG).await.expect_err("a try fails"),
        store.0.unlock(&within(DEADLINE), "l", "b").await.expect_err("giving back fails"),
        store.0.ready(&within(DEADLINE)).await.expect_err("it is not ready"),
    ]
}

fn are_outages(errors: &[Error]) {
    for error in errors {
        assert!(["STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&error.code().id), "{error:?}");
    }
}

/// Waits until the store answers, and sees that the lock is still held.
async fn recovered(store: &Store) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.0.try_lock(&within(DEADLINE), "l", "b", LONG).await {
            Ok(got) => break assert!(!got, "the outage freed it"),
            Err(error) => assert!(Instant::now() < deadline, "it does not recover: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.0.ready(&within(PATIENCE)).await.expect("it is ready again");
}

async fn a_server_that_is_gone_is_unavailable_until_it_is_back(open: Open) {
    let rig = open(Need::Server).await;
    let store = Store(rig.store());
    assert!(store.lock("l", "a", LONG).await);
    rig.below().stop().await;
    are_outages(&failures(&store).await);
    rig.below().start().await;
    recovered(&store).await;
    assert_eq!(store.unlock("l", "a").await, Unlocked::Done);
}

async fn a_server_that_does_not_answer_is_given_up_at_the_deadline(open: Open) {
    let rig = open(Need::Server).await;
    let store = Store(rig.store());
    assert!(store.lock("l", "a", LONG).await);
    rig.below().freeze().await;
    let given_up = tokio::time::timeout(PATIENCE, failures(&store)).await;
    rig.below().thaw().await;
    are_outages(&given_up.expect("calls are given up at their deadline"));
    recovered(&store).await;
}
