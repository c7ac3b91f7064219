//! What every `StateStore` must do. To add a check: an `async fn` in a file below and its name in that file's list.
//!
//! Each check opens a store of its own on a namespace that nobody else uses, and panics where a promise is broken. What
//! a member makes of its settings, and what its layout looks like to others, it tests itself.

mod batches;
mod life;
mod outages;
mod queries;
mod scans;
mod transactions;
mod values;
mod versions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::state::{Change, Entry, Format, Precondition, StateStore};
use mainstay_core::{Ctx, Error, Result};

use super::suite;
pub use super::suite::prove;
pub use crate::servers::below::{Below, Need, Outage};

/// A store on an empty namespace, and what is below it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The store under test.
    fn store(&self) -> Arc<dyn StateStore>;

    /// The same namespace opened once more, as another process would; `None` where there is no such thing.
    async fn again(&self) -> Option<Arc<dyn StateStore>>;

    /// Lets a little time go by for what lives for a time: moves the clock that the store was given, or waits.
    async fn tick(&self);

    /// Whether a value of `Format::Json` comes back as the same text, and not as an equal JSON value.
    fn keeps_json_text(&self) -> bool {
        true
    }

    /// Whether any text can be an etag, so that none is `ETAG_INVALID`.
    fn takes_any_etag(&self) -> bool {
        false
    }

    /// The servers that are the rig's own. None but with [`Need::Server`].
    fn below(&self) -> Below {
        Below::default()
    }
}

/// Opens a store.
pub type Open = Arc<dyn Fn(Need) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

/// The checks that need a server that can be stopped: not run by a member without one.
pub const OUTAGES: &[Check] = outages::CHECKS;

/// The checks of several changes at once: not run where no two keys can be changed so.
pub const TRANSACTIONS: &[Check] = transactions::CHECKS;

/// Every check, in the order of the files.
pub fn checks() -> impl Iterator<Item = Check> {
    [
        values::CHECKS,
        versions::CHECKS,
        life::CHECKS,
        batches::CHECKS,
        transactions::CHECKS,
        scans::CHECKS,
        queries::CHECKS,
        outages::CHECKS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with
/// the reason; they are shown as ignored.
///
/// # Panics
/// Where `not_run` names a check that does not exist.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, checks(), not_run)
}

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}
use promises;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// The context of most calls: a deadline that only a fault reaches.
fn ctx() -> Ctx {
    within(PATIENCE)
}

fn within(time: Duration) -> Ctx {
    Ctx::system().with_deadline(Instant::now() + time)
}

/// A change to `key` that sets `value`, as bytes.
fn set(key: &str, value: &str) -> Change {
    put(key, value, Format::Bytes)
}

fn put(key: &str, value: impl Into<Vec<u8>>, format: Format) -> Change {
    Change::Set {
        key: key.to_owned(),
        value: Bytes::from(value.into()),
        format,
        precondition: Precondition::None,
        ttl: None,
    }
}

fn delete(key: &str) -> Change {
    Change::Delete { key: key.to_owned(), precondition: Precondition::None }
}

/// The change, if `wanted` holds.
fn provided(mut change: Change, wanted: Precondition) -> Change {
    match &mut change {
        Change::Set { precondition, .. } | Change::Delete { precondition, .. } => *precondition = wanted,
    }
    change
}

/// The change, for a time.
fn lasting(mut change: Change, time: Duration) -> Change {
    if let Change::Set { ttl, .. } = &mut change {
        *ttl = Some(time);
    }
    change
}

fn etag(etag: &str) -> Precondition {
    Precondition::Etag(etag.to_owned())
}

/// The store under test, with calls that panic where they fail.
#[derive(Clone)]
struct Store(Arc<dyn StateStore>);

impl Store {
    async fn apply(&self, change: Change) {
        let shown = format!("{:?}", change.key());
        self.try_apply(change).await.unwrap_or_else(|error| panic!("{shown} is changed: {error:?}"));
    }

    async fn try_apply(&self, change: Change) -> Result<()> {
        self.0.apply(&ctx(), change).await
    }

    /// Expects the change to fail with this code.
    async fn refuse(&self, change: Change, code: &str) {
        let error = self.try_apply(change).await.expect_err("the change fails");
        is_code(&error, code);
    }

    async fn entry(&self, key: &str) -> Option<Entry> {
        self.0.get(&ctx(), key).await.unwrap_or_else(|error| panic!("{key:?} is read: {error:?}"))
    }

    /// The value as text; `None` where there is none.
    async fn text(&self, key: &str) -> Option<String> {
        self.entry(key).await.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
    }

    async fn etag(&self, key: &str) -> String {
        self.entry(key).await.expect("the key is there").etag
    }

    async fn transact(&self, changes: Vec<Change>) -> Result<()> {
        self.0.transact(&ctx(), changes).await
    }
}

async fn fresh(open: &Open) -> (Arc<dyn Rig>, Store) {
    let rig = open(Need::Namespace).await;
    let store = Store(rig.store());
    (rig, store)
}

#[track_caller]
fn is_code(error: &Error, code: &str) {
    assert_eq!(error.code().id, code, "{error:?}");
}
