//! The suite against faults planted into a sound store: each is caught by the check that is named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::{Failed, Trial};
use mainstay_components::locks::embedded;
use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::{Ctx, Result};
use mainstay_testkit::conformance::lock::{CHECKS, Open, Rig, prove};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    LetsItsOwnerInTwice,
    LetsAnyoneUnlock,
    NeverEnds,
    EndsAtOnce,
    FoldsCase,
    ChecksThenLocks,
    TakesFromTheNext,
    IsAloneInTheWorld,
}

use Fault::*;

const CAUGHT_BY: &[(Fault, &str)] = &[
    (LetsItsOwnerInTwice, "a_held_lock_is_refused_to_everyone"),
    (LetsAnyoneUnlock, "only_its_owner_gives_it_back"),
    (NeverEnds, "a_lock_ends_after_its_time_and_not_before"),
    (EndsAtOnce, "a_lock_ends_after_its_time_and_not_before"),
    (FoldsCase, "locks_of_other_names_are_others"),
    (ChecksThenLocks, "of_many_who_try_at_once_one_gets_it"),
    (TakesFromTheNext, "who_has_lost_a_lock_does_not_take_it_from_the_next"),
    (IsAloneInTheWorld, "another_process_sees_who_holds_it"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(fault, caught_by): &(Fault, &'static str)| {
        Trial::test(format!("planted::{fault:?}"), move || is_caught(fault, caught_by))
    };
    CAUGHT_BY.iter().map(trial).collect()
}

fn is_caught(fault: Fault, caught_by: &str) -> std::result::Result<(), Failed> {
    let check = *CHECKS.iter().find(|check| check.name == caught_by).unwrap();
    let sound = embedded_open();
    prove(check, Arc::clone(&sound));
    let broken: Open = Arc::new(move |need| {
        let sound = Arc::clone(&sound);
        Box::pin(async move { Arc::new(BrokenRig { sound: sound(need).await, fault }) as Arc<dyn Rig> })
    });
    match catch_unwind(AssertUnwindSafe(|| prove(check, broken))) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("`{caught_by}` let {fault:?} pass").into()),
    }
}

fn embedded_open() -> Open {
    crate::embedded::open(&embedded::DEF)
}

struct BrokenRig {
    sound: Arc<dyn Rig>,
    fault: Fault,
}

#[async_trait]
impl Rig for BrokenRig {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::new(Broken { inner: self.sound.store(), fault: self.fault })
    }

    async fn again(&self) -> Arc<dyn LockStore> {
        let inner = match self.fault {
            IsAloneInTheWorld => {
                embedded_open()(mainstay_testkit::conformance::lock::Need::Namespace).await.store()
            }
            _ => self.sound.again().await,
        };
        Arc::new(Broken { inner, fault: self.fault })
    }

    async fn tick(&self) {
        // A clock that stands still would make a lock that never ends a check that never does.
        for _ in 0..10 {
            self.sound.tick().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The store over memory, with one fault.
struct Broken {
    inner: Arc<dyn LockStore>,
    fault: Fault,
}

impl Broken {
    fn name(&self, name: &str) -> String {
        if self.fault == FoldsCase { name.to_lowercase() } else { name.to_owned() }
    }
}

#[async_trait]
impl LockStore for Broken {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.inner.ready(ctx).await
    }

    async fn try_lock(&self, ctx: &Ctx, name: &str, owner: &str, time: Duration) -> Result<bool> {
        let name = self.name(name);
        let time = match self.fault {
            NeverEnds => Duration::from_secs(1 << 30),
            EndsAtOnce => Duration::from_millis(1),
            _ => time,
        };
        if self.fault == LetsItsOwnerInTwice {
            self.inner.unlock(ctx, &name, owner).await?;
        }
        if self.fault == ChecksThenLocks
            && self.inner.unlock(ctx, &name, "nobody").await? == Unlocked::NotHeld
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.inner.try_lock(ctx, &name, owner, time).await?;
            return Ok(true);
        }
        self.inner.try_lock(ctx, &name, owner, time).await
    }

    async fn unlock(&self, ctx: &Ctx, name: &str, owner: &str) -> Result<Unlocked> {
        let name = self.name(name);
        let done = self.inner.unlock(ctx, &name, owner).await?;
        match (self.fault, done) {
            (LetsAnyoneUnlock, Unlocked::HeldByAnother) => Ok(Unlocked::Done),
            (TakesFromTheNext, Unlocked::HeldByAnother) if owner == "a" => {
                self.inner.unlock(ctx, &name, "b").await
            }
            _ => Ok(done),
        }
    }
}
