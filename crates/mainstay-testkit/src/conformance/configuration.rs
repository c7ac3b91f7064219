//! What every `ConfigurationStore` must do. To add a check: an `async fn` below and its name in the list.
//!
//! Each check opens a store of its own on a namespace that nobody else uses, and panics where a promise is broken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::{BoxStream, Ctx, Error, Result};

use super::suite;
pub use super::suite::prove;
pub use crate::servers::below::{Below, Need, Outage};

/// A store on an empty namespace, and what is below it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The store under test.
    fn store(&self) -> Arc<dyn ConfigurationStore>;

    /// Sets an item as an operator does.
    async fn set(&self, key: &str, value: &str, version: &str);

    /// Removes one.
    async fn remove(&self, key: &str);

    /// What a request to watch must say besides.
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
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
    items_are_read_by_their_keys_or_all_at_once,
    an_item_is_the_one_that_was_set_last,
    whoever_watches_hears_of_every_change_to_come,
    whoever_watches_some_keys_hears_of_those_alone,
    whoever_watches_hears_of_what_is_removed,
    several_watches_hear_the_same,
    a_watch_that_is_dropped_disturbs_nobody,
}

promises! {
    OUTAGES:
    a_server_that_is_gone_ends_watches_and_is_unavailable_until_it_is_back,
    a_server_that_does_not_answer_is_given_up_at_the_deadline,
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with
/// the reason; they are shown as ignored.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, CHECKS.iter().chain(OUTAGES).copied(), not_run)
}

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a call has where it is to fail; much less than what the test waits for it.
const DEADLINE: Duration = Duration::from_millis(500);

fn within(time: Duration) -> Ctx {
    Ctx::system().with_deadline(Instant::now() + time)
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn item(value: &str, version: &str) -> Item {
    Item { value: value.to_owned(), version: version.to_owned(), ..Item::default() }
}

async fn get(rig: &Arc<dyn Rig>, wanted: &[&str]) -> Items {
    let read = rig.store().get(&within(PATIENCE), &keys(wanted), &BTreeMap::new()).await;
    read.unwrap_or_else(|error| panic!("{wanted:?} are read: {error:?}"))
}

struct Watch(BoxStream<Result<Items>>);

impl Watch {
    async fn open(rig: &Arc<dyn Rig>, wanted: &[&str]) -> Self {
        let watch = rig.store().watch(&within(PATIENCE), &keys(wanted), &rig.metadata()).await;
        Self(watch.unwrap_or_else(|error| panic!("{wanted:?} are watched: {error:?}")))
    }

    async fn next(&mut self) -> Option<Result<Items>> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a watch hears something in time")
    }

    /// Waits until the key has this item, and gives every key that was heard of on the way.
    async fn until(&mut self, key: &str, wanted: &Item) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let items = self.next().await.expect("the watch goes on").expect("the watch is not cut");
            heard.extend(items.keys().cloned());
            if items.get(key) == Some(wanted) {
                return heard;
            }
        }
    }
}

async fn items_are_read_by_their_keys_or_all_at_once(open: Open) {
    let rig = open(Need::Namespace).await;
    rig.store().ready(&within(PATIENCE)).await.expect("it is ready");
    assert_eq!(get(&rig, &[]).await, Items::new());
    rig.set("a", "1", "v1").await;
    rig.set("b.c/d", "zwei é", "").await;
    let both = Items::from([("a".to_owned(), item("1", "v1")), ("b.c/d".to_owned(), item("zwei é", ""))]);
    assert_eq!(get(&rig, &[]).await, both);
    assert_eq!(get(&rig, &["a", "b.c/d"]).await, both);
    assert_eq!(get(&rig, &["missing", "a"]).await.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(get(&rig, &["missing"]).await, Items::new());
}

async fn an_item_is_the_one_that_was_set_last(open: Open) {
    let rig = open(Need::Namespace).await;
    rig.set("a", "1", "v1").await;
    rig.set("a", "2", "v2").await;
    assert_eq!(get(&rig, &["a"]).await["a"], item("2", "v2"));
    rig.remove("a").await;
    assert_eq!(get(&rig, &["a"]).await, Items::new());
}

async fn whoever_watches_hears_of_every_change_to_come(open: Open) {
    let rig = open(Need::Namespace).await;
    rig.set("before", "1", "").await;
    let mut watch = Watch::open(&rig, &[]).await;
    rig.set("a", "1", "v1").await;
    let heard = watch.until("a", &item("1", "v1")).await;
    assert_eq!(heard, ["a"], "it heard of what did not change");
    rig.set("a", "2", "v2").await;
    rig.set("b", "1", "").await;
    let heard = watch.until("b", &item("1", "")).await;
    assert!(heard.contains(&"a".to_owned()), "it did not hear of `a`");
}

async fn whoever_watches_some_keys_hears_of_those_alone(open: Open) {
    let rig = open(Need::Namespace).await;
    let mut watch = Watch::open(&rig, &["a", "c"]).await;
    for key in ["b", "ab", "a"] {
        rig.set(key, "1", "").await;
    }
    let mut heard = watch.until("a", &item("1", "")).await;
    rig.set("c", "1", "").await;
    heard.extend(watch.until("c", &item("1", "")).await);
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ["a", "c"]);
}

async fn whoever_watches_hears_of_what_is_removed(open: Open) {
    let rig = open(Need::Namespace).await;
    rig.set("a", "1", "").await;
    let mut watch = Watch::open(&rig, &["a"]).await;
    rig.remove("a").await;
    watch.until("a", &Item::default()).await;
    rig.set("a", "again", "").await;
    watch.until("a", &item("again", "")).await;
}

async fn several_watches_hear_the_same(open: Open) {
    let rig = open(Need::Namespace).await;
    let (mut one, mut all) = (Watch::open(&rig, &["a"]).await, Watch::open(&rig, &[]).await);
    rig.set("a", "1", "").await;
    one.until("a", &item("1", "")).await;
    all.until("a", &item("1", "")).await;
}

async fn a_watch_that_is_dropped_disturbs_nobody(open: Open) {
    let rig = open(Need::Namespace).await;
    let mut kept = Watch::open(&rig, &[]).await;
    drop(Watch::open(&rig, &[]).await);
    rig.set("a", "1", "").await;
    kept.until("a", &item("1", "")).await;
}

/// The failures of one call of each kind.
async fn failures(rig: &Arc<dyn Rig>) -> Vec<Error> {
    let store = rig.store();
    let (some, nothing) = (keys(&["a"]), BTreeMap::new());
    let watched = store.watch(&within(DEADLINE), &some, &rig.metadata()).await;
    vec![
        store.get(&within(DEADLINE), &some, &nothing).await.expect_err("a read fails"),
        store.get(&within(DEADLINE), &[], &nothing).await.expect_err("a read of all fails"),
        watched.err().expect("a watch fails"),
        store.ready(&within(DEADLINE)).await.expect_err("it is not ready"),
    ]
}

fn are_outages(errors: &[Error]) {
    for error in errors {
        assert!(["STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&error.code().id), "{error:?}");
    }
}

/// Waits until the item is read, and sees that a new watch works.
async fn recovered(rig: &Arc<dyn Rig>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rig.store().get(&within(DEADLINE), &keys(&["a"]), &BTreeMap::new()).await {
            Ok(items) => break assert_eq!(items["a"], item("1", "v1")),
            Err(error) => assert!(Instant::now() < deadline, "it does not recover: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.store().ready(&within(PATIENCE)).await.expect("it is ready again");
    let mut watch = Watch::open(rig, &[]).await;
    rig.set("b", "1", "").await;
    watch.until("b", &item("1", "")).await;
}

async fn a_server_that_is_gone_ends_watches_and_is_unavailable_until_it_is_back(open: Open) {
    let rig = open(Need::Server).await;
    rig.set("a", "1", "v1").await;
    let mut watch = Watch::open(&rig, &[]).await;
    rig.below().stop().await;
    let error = watch.next().await.expect("it says that it is cut").expect_err("it is cut");
    are_outages(&[error]);
    assert!(watch.next().await.is_none(), "it goes on after its end");
    are_outages(&failures(&rig).await);
    rig.below().start().await;
    recovered(&rig).await;
}

async fn a_server_that_does_not_answer_is_given_up_at_the_deadline(open: Open) {
    let rig = open(Need::Server).await;
    rig.set("a", "1", "v1").await;
    rig.below().freeze().await;
    let given_up = tokio::time::timeout(PATIENCE, failures(&rig)).await;
    rig.below().thaw().await;
    are_outages(&given_up.expect("calls are given up at their deadline"));
    recovered(&rig).await;
}
