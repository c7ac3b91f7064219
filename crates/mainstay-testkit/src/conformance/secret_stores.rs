//! What every `SecretStore` must do. To add a check: an `async fn` below and its name in the list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::Ctx;
use mainstay_core::secret_store::{Secret, SecretStore};

use super::suite;
pub use super::suite::prove;

/// Secrets as values by key, by name.
pub type Known = BTreeMap<String, BTreeMap<String, String>>;

/// A store with secrets that the rig knows.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The store under test.
    fn store(&self) -> Arc<dyn SecretStore>;

    /// Secrets that are there; there may be more.
    fn known(&self) -> Known;

    /// Takes away what the store reads from; `false` where that cannot be.
    async fn take_away(&self) -> bool;
}

/// Opens a store.
pub type Open = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// Every check.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}

promises! {
    each_secret_has_its_values,
    a_secret_that_is_not_there_has_none,
    all_are_listed_by_name,
    no_name_leads_to_something_else,
    without_its_source_it_fails_and_shows_nothing,
}

/// The suite as tests named `<member>::<promise>`.
#[must_use]
pub fn trials(member: &str, open: &Open) -> Vec<Trial> {
    suite::trials(member, open, CHECKS.iter().copied(), &[])
}

fn ctx() -> Ctx {
    Ctx::system().with_deadline(Instant::now() + Duration::from_secs(30))
}

fn exposed(secret: &Secret) -> BTreeMap<String, String> {
    secret.iter().map(|(key, value)| (key.clone(), value.expose().clone())).collect()
}

/// Whether there is no value. A variable that is not set cannot be told from an empty one.
fn is_nothing(secret: &Secret) -> bool {
    secret.values().all(|value| value.expose().is_empty())
}

async fn each_secret_has_its_values(open: Open) {
    let rig = open().await;
    assert!(!rig.known().is_empty(), "the rig knows a secret");
    rig.store().ready(&ctx()).await.expect("it is ready");
    for (name, values) in rig.known() {
        let found = rig.store().get(&ctx(), &name, &BTreeMap::new()).await.expect("it is read");
        assert_eq!(exposed(&found), values, "{name}");
    }
}

async fn a_secret_that_is_not_there_has_none(open: Open) {
    let rig = open().await;
    let found = rig.store().get(&ctx(), "no-such-secret", &BTreeMap::new()).await;
    assert!(is_nothing(&found.expect("that is no failure")));
}

async fn all_are_listed_by_name(open: Open) {
    let rig = open().await;
    let all = rig.store().all(&ctx(), &BTreeMap::new()).await.expect("they are listed");
    for (name, values) in rig.known() {
        assert_eq!(all.get(&name).map(exposed), Some(values), "{name}");
    }
}

async fn no_name_leads_to_something_else(open: Open) {
    let rig = open().await;
    for name in ["", "..", "../x", "a/b", "?", "%2e%2e", "a b", "\u{e9}"] {
        let found = rig.store().get(&ctx(), name, &BTreeMap::new()).await;
        assert!(found.is_ok_and(|secret| is_nothing(&secret)), "{name:?}");
    }
}

async fn without_its_source_it_fails_and_shows_nothing(open: Open) {
    let rig = open().await;
    if !rig.take_away().await {
        return;
    }
    let store = rig.store();
    assert!(store.ready(&ctx()).await.is_err(), "it is not ready");
    for (name, values) in rig.known() {
        let error = store.get(&ctx(), &name, &BTreeMap::new()).await.expect_err("there is nothing to read");
        assert_eq!(error.code().id, "SECRET_UNAVAILABLE");
        let shown = format!("{error:?} {error}");
        assert!(values.values().all(|value| !shown.contains(value.as_str())), "a value is shown");
    }
}
