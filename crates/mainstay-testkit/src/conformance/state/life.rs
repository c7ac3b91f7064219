//! What lives for a time ends after it, and not before.
//!
//! A store may count in whole seconds and so let a key live up to a second longer than it was told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::state::Precondition;

use super::{Open, PATIENCE, Rig, Store, etag, fresh, lasting, promises, provided, set};

promises! {
    a_key_ends_after_its_time,
    an_entry_says_when_it_ends,
    what_has_ended_is_not_there_for_anything,
    a_plain_set_makes_it_stay,
    another_time_replaces_the_first,
}

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Waits until the key is gone.
async fn ended(rig: &Arc<dyn Rig>, store: &Store, key: &str) {
    let deadline = Instant::now() + PATIENCE;
    while store.entry(key).await.is_some() {
        assert!(Instant::now() < deadline, "`{key}` outlives its time");
        rig.tick().await;
    }
}

async fn a_key_ends_after_its_time(open: Open) {
    let (rig, store) = fresh(&open).await;
    store.apply(lasting(set("short", "v"), SHORT)).await;
    store.apply(lasting(set("long", "v"), LONG)).await;
    store.apply(set("ever", "v")).await;
    assert_eq!(store.text("short").await.as_deref(), Some("v"), "it is there at first");
    ended(&rig, &store, "short").await;
    assert!(store.entry("long").await.is_some() && store.entry("ever").await.is_some());
}

async fn an_entry_says_when_it_ends(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let end = |key: &'static str| {
        let store = store.clone();
        async move { store.entry(key).await.expect("the key is there").expires_at_ms }
    };
    store.apply(set("ever", "v")).await;
    store.apply(lasting(set("hour", "v"), LONG)).await;
    store.apply(lasting(set("two", "v"), 2 * LONG)).await;
    assert_eq!(end("ever").await, None);
    let hour = end("hour").await.expect("it ends");
    let two = end("two").await.expect("it ends");
    let apart = two.checked_sub(hour).expect("the one of two hours ends later");
    assert!(apart.abs_diff(3_600_000) < 60_000, "they end {apart} ms apart");
}

async fn what_has_ended_is_not_there_for_anything(open: Open) {
    let (rig, store) = fresh(&open).await;
    for key in ["set", "delete", "first"] {
        store.apply(lasting(set(key, "v"), SHORT)).await;
    }
    let old = store.etag("set").await;
    let old_delete = store.etag("delete").await;
    for key in ["set", "delete", "first"] {
        ended(&rig, &store, key).await;
    }
    store.refuse(provided(set("set", "w"), etag(&old)), "ETAG_MISMATCH").await;
    store.refuse(provided(super::delete("delete"), etag(&old_delete)), "ETAG_MISMATCH").await;
    store.apply(provided(set("first", "w"), Precondition::Absent)).await;
    let entry = store.entry("first").await.expect("it is there again");
    assert_eq!((entry.value.as_ref(), entry.expires_at_ms), (b"w".as_ref(), None));
    let found = store.0.get_many(&super::ctx(), &["set".to_owned(), "first".to_owned()]).await;
    let found: Vec<bool> = found.into_iter().map(|found| found.expect("it is read").is_some()).collect();
    assert_eq!(found, [false, true]);
}

async fn a_plain_set_makes_it_stay(open: Open) {
    let (rig, store) = fresh(&open).await;
    store.apply(lasting(set("k", "v"), SHORT)).await;
    store.apply(set("k", "w")).await;
    store.apply(lasting(set("mark", "v"), SHORT)).await;
    let entry = store.entry("k").await.expect("the key is there");
    assert_eq!(entry.expires_at_ms, None);
    ended(&rig, &store, "mark").await;
    assert_eq!(store.text("k").await.as_deref(), Some("w"), "it ended in spite of the second set");
}

async fn another_time_replaces_the_first(open: Open) {
    let (rig, store) = fresh(&open).await;
    store.apply(lasting(set("longer", "v"), SHORT)).await;
    store.apply(lasting(set("longer", "v"), LONG)).await;
    store.apply(lasting(set("shorter", "v"), LONG)).await;
    store.apply(lasting(set("shorter", "v"), SHORT)).await;
    ended(&rig, &store, "shorter").await;
    assert!(store.entry("longer").await.is_some(), "the first time ended it");
}
