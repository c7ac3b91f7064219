//! Etags change with every change, and preconditions hold or do not, also among concurrent writers.

use std::collections::HashSet;
use std::time::Duration;

use mainstay_core::state::Precondition;

use super::{Open, delete, etag, fresh, is_code, lasting, promises, provided, set};

promises! {
    every_change_gives_another_etag,
    an_etag_of_before_a_delete_does_not_hold_after_it,
    absent_holds_only_without_the_key,
    an_etag_holds_for_its_version_alone,
    a_delete_holds_to_its_etag,
    an_etag_for_a_key_that_is_not_there_does_not_hold,
    an_etag_that_was_never_given_is_invalid,
    of_concurrent_first_writes_exactly_one_is_made,
    concurrent_changes_by_etag_lose_nothing,
    of_concurrent_deletes_by_etag_one_is_made,
}

async fn every_change_gives_another_etag(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let mut seen = HashSet::new();
    let changes = [
        set("k", "v"),
        set("k", "v"),
        set("k", "w"),
        lasting(set("k", "w"), Duration::from_secs(3600)),
        provided(set("k", "w"), Precondition::None),
    ];
    for change in changes {
        store.apply(change).await;
        let etag = store.etag("k").await;
        assert_eq!(etag, store.etag("k").await, "a read changes no etag");
        assert!(!etag.is_empty() && seen.insert(etag), "the etag is empty or the same as before");
    }
}

async fn an_etag_of_before_a_delete_does_not_hold_after_it(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "first")).await;
    let old = store.etag("k").await;
    store.apply(delete("k")).await;
    store.apply(set("k", "second")).await;
    assert_ne!(store.etag("k").await, old);
    store.refuse(provided(set("k", "third"), etag(&old)), "ETAG_MISMATCH").await;
    assert_eq!(store.text("k").await.as_deref(), Some("second"));
}

async fn absent_holds_only_without_the_key(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let first = |value| provided(set("k", value), Precondition::Absent);
    store.apply(first("one")).await;
    store.refuse(first("two"), "ETAG_MISMATCH").await;
    assert_eq!(store.text("k").await.as_deref(), Some("one"));
    store.apply(delete("k")).await;
    store.apply(first("three")).await;
    assert_eq!(store.text("k").await.as_deref(), Some("three"));
}

async fn an_etag_holds_for_its_version_alone(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "one")).await;
    store.apply(set("other", "one")).await;
    let first = store.etag("k").await;
    store.apply(provided(set("k", "two"), etag(&first))).await;
    assert_eq!(store.text("k").await.as_deref(), Some("two"));
    store.refuse(provided(set("k", "three"), etag(&first)), "ETAG_MISMATCH").await;
    assert_eq!(store.text("k").await.as_deref(), Some("two"));
    store.apply(provided(set("k", "four"), etag(&store.etag("k").await))).await;
    assert_eq!(store.text("k").await.as_deref(), Some("four"));
}

async fn a_delete_holds_to_its_etag(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "one")).await;
    let first = store.etag("k").await;
    store.apply(set("k", "two")).await;
    store.refuse(provided(delete("k"), etag(&first)), "ETAG_MISMATCH").await;
    assert_eq!(store.text("k").await.as_deref(), Some("two"));
    store.apply(provided(delete("k"), etag(&store.etag("k").await))).await;
    assert_eq!(store.entry("k").await, None);
}

async fn an_etag_for_a_key_that_is_not_there_does_not_hold(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "v")).await;
    let given = store.etag("k").await;
    store.apply(delete("k")).await;
    for key in ["k", "never"] {
        store.refuse(provided(set(key, "w"), etag(&given)), "ETAG_MISMATCH").await;
        store.refuse(provided(delete(key), etag(&given)), "ETAG_MISMATCH").await;
        assert_eq!(store.entry(key).await, None);
    }
}

async fn an_etag_that_was_never_given_is_invalid(open: Open) {
    let (rig, store) = fresh(&open).await;
    let code = if rig.takes_any_etag() { "ETAG_MISMATCH" } else { "ETAG_INVALID" };
    store.apply(set("k", "v")).await;
    for nonsense in ["no etag", "'; --", "-"] {
        store.refuse(provided(set("k", "w"), etag(nonsense)), code).await;
        store.refuse(provided(delete("k"), etag(nonsense)), code).await;
    }
    assert_eq!(store.text("k").await.as_deref(), Some("v"));
}

async fn of_concurrent_first_writes_exactly_one_is_made(open: Open) {
    let (_rig, store) = fresh(&open).await;
    for round in 0..5 {
        let key = format!("k{round}");
        let write = |at: usize| {
            let (store, key) = (store.clone(), key.clone());
            let change = provided(set(&key, &at.to_string()), Precondition::Absent);
            tokio::spawn(async move { (at, store.try_apply(change).await) })
        };
        let writers: Vec<_> = (0..12).map(write).collect();
        let mut winners = Vec::new();
        for writer in writers {
            match writer.await.expect("a writer does not panic") {
                (at, Ok(())) => winners.push(at.to_string()),
                (_, Err(error)) => is_code(&error, "ETAG_MISMATCH"),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?} were all first");
        assert_eq!(store.text(&key).await, winners.pop());
    }
}

async fn concurrent_changes_by_etag_lose_nothing(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("counter", "0")).await;
    let count = || {
        let store = store.clone();
        tokio::spawn(async move {
            let mut counted = 0;
            while counted < 10 {
                let entry = store.entry("counter").await.expect("the counter is there");
                // The others get between the read and the change, also where a store never waits.
                tokio::task::yield_now().await;
                let value: u32 = String::from_utf8_lossy(&entry.value).parse().expect("it is a number");
                let change = provided(set("counter", &(value + 1).to_string()), etag(&entry.etag));
                match store.try_apply(change).await {
                    Ok(()) => counted += 1,
                    Err(error) => is_code(&error, "ETAG_MISMATCH"),
                }
            }
        })
    };
    for counter in (0..6).map(|_| count()).collect::<Vec<_>>() {
        counter.await.expect("a counter does not panic");
    }
    assert_eq!(store.text("counter").await.as_deref(), Some("60"));
}

async fn of_concurrent_deletes_by_etag_one_is_made(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "v")).await;
    let change = provided(delete("k"), etag(&store.etag("k").await));
    let outcomes = futures_util::future::join_all((0..8).map(|_| store.try_apply(change.clone()))).await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 1, "{outcomes:?}");
}
