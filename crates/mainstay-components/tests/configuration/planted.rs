//! The suite against faults planted into a sound store: each is caught by the check that is named.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use libtest_mimic::{Failed, Trial};
use mainstay_components::configuration::embedded;
use mainstay_core::configuration::{ConfigurationStore, Items};
use mainstay_core::{BoxStream, Ctx, Result};
use mainstay_testkit::conformance::configuration::{CHECKS, Open, Rig, prove};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ReadsAllForNoneFound,
    LosesVersions,
    TellsOfEverything,
    TellsWhatDidNotChange,
}

use Fault::*;

const CAUGHT_BY: &[(Fault, &str)] = &[
    (ReadsAllForNoneFound, "items_are_read_by_their_keys_or_all_at_once"),
    (LosesVersions, "an_item_is_the_one_that_was_set_last"),
    (TellsOfEverything, "whoever_watches_some_keys_hears_of_those_alone"),
    (TellsWhatDidNotChange, "whoever_watches_hears_of_every_change_to_come"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(fault, caught_by): &(Fault, &'static str)| {
        Trial::test(format!("planted::{fault:?}"), move || is_caught(fault, caught_by))
    };
    CAUGHT_BY.iter().map(trial).collect()
}

fn is_caught(fault: Fault, caught_by: &str) -> std::result::Result<(), Failed> {
    let check = *CHECKS.iter().find(|check| check.name == caught_by).unwrap();
    let broken: Open = Arc::new(move |need| {
        let sound = crate::embedded::open(&embedded::DEF);
        Box::pin(async move { Arc::new(BrokenRig { sound: sound(need).await, fault }) as Arc<dyn Rig> })
    });
    match catch_unwind(AssertUnwindSafe(|| prove(check, broken))) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("`{caught_by}` let {fault:?} pass").into()),
    }
}

struct BrokenRig {
    sound: Arc<dyn Rig>,
    fault: Fault,
}

#[async_trait]
impl Rig for BrokenRig {
    fn store(&self) -> Arc<dyn ConfigurationStore> {
        Arc::new(Broken { inner: self.sound.store(), fault: self.fault })
    }

    async fn set(&self, key: &str, value: &str, version: &str) {
        self.sound.set(key, value, version).await;
    }

    async fn remove(&self, key: &str) {
        self.sound.remove(key).await;
    }
}

/// The store of a file, with one fault.
struct Broken {
    inner: Arc<dyn ConfigurationStore>,
    fault: Fault,
}

#[async_trait]
impl ConfigurationStore for Broken {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.inner.ready(ctx).await
    }

    async fn get(&self, ctx: &Ctx, keys: &[String], metadata: &BTreeMap<String, String>) -> Result<Items> {
        let mut items = self.inner.get(ctx, keys, metadata).await?;
        if self.fault == ReadsAllForNoneFound && items.is_empty() {
            items = self.inner.get(ctx, &[], metadata).await?;
        }
        if self.fault == LosesVersions {
            items.values_mut().for_each(|item| item.version.clear());
        }
        Ok(items)
    }

    async fn watch(
        &self,
        ctx: &Ctx,
        keys: &[String],
        metadata: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>> {
        let keys = if self.fault == TellsOfEverything { &[] } else { keys };
        let changes = self.inner.watch(ctx, keys, metadata).await?;
        if self.fault == TellsWhatDidNotChange {
            let all = self.inner.get(ctx, keys, metadata).await?;
            return Ok(Box::pin(
                changes.map(move |changed| Ok(all.clone().into_iter().chain(changed?).collect())),
            ));
        }
        Ok(changes)
    }
}
