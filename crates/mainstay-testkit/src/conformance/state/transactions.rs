//! All changes or none, in their order; or `UNSUPPORTED` where that is not declared.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::state::{Change, Precondition};

use super::{Open, Rig, Store, delete, etag, fresh, is_code, lasting, promises, provided, set};

promises! {
    transactions_work_where_declared_and_nowhere_else,
    all_changes_are_made,
    a_change_that_cannot_be_made_undoes_those_around_it,
    later_changes_see_the_earlier_ones,
    too_many_changes_are_refused_and_none_is_made,
    transactions_of_the_same_keys_do_not_interleave,
    transactions_in_opposite_orders_all_end,
    a_time_to_live_holds_in_a_transaction,
}

/// The most that is tried, of what a store says it takes.
const TRIED_MAX: usize = 20_000;

/// A store that declares transactions.
async fn declared(open: &Open) -> Option<(Arc<dyn Rig>, Store)> {
    let (rig, store) = fresh(open).await;
    store.0.capabilities().transaction_changes_max.is_some().then_some((rig, store))
}

async fn transactions_work_where_declared_and_nowhere_else(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let outcome = store.transact(vec![set("a", "1"), set("b", "2")]).await;
    match store.0.capabilities().transaction_changes_max {
        Some(most) => {
            assert!(most >= 1, "it declares transactions of nothing");
            outcome.expect("what is declared works");
        }
        None => {
            is_code(&outcome.expect_err("what is not declared does not work"), "UNSUPPORTED");
            assert_eq!(store.entry("a").await, None);
        }
    }
}

async fn all_changes_are_made(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    store.apply(set("old", "v")).await;
    store.apply(set("held", "v")).await;
    let held = store.etag("held").await;
    let changes = vec![
        set("a", "1"),
        delete("old"),
        provided(set("held", "w"), etag(&held)),
        provided(set("new", "n"), Precondition::Absent),
        delete("never"),
    ];
    store.transact(changes).await.expect("the changes are made");
    assert_eq!(store.text("a").await.as_deref(), Some("1"));
    assert_eq!(store.entry("old").await, None);
    assert_eq!(store.text("held").await.as_deref(), Some("w"));
    assert_eq!(store.text("new").await.as_deref(), Some("n"));
    assert_ne!(store.etag("held").await, held);
    store.transact(Vec::new()).await.expect("no change is made");
}

async fn a_change_that_cannot_be_made_undoes_those_around_it(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    store.apply(set("kept", "v")).await;
    store.apply(set("deleted", "v")).await;
    let before = (store.entry("kept").await, store.entry("deleted").await);
    let impossible: [(Change, &[&str]); 4] = [
        (provided(set("kept", "w"), Precondition::Absent), &["ETAG_MISMATCH"]),
        (provided(set("absent", "w"), etag(&store.etag("kept").await)), &["ETAG_MISMATCH"]),
        (provided(delete("absent"), etag(&store.etag("kept").await)), &["ETAG_MISMATCH"]),
        (provided(set("kept", "w"), etag("no etag")), &["ETAG_INVALID", "ETAG_MISMATCH"]),
    ];
    for (change, codes) in impossible {
        let changes = vec![set("first", "1"), delete("deleted"), set("kept", "w"), change, set("last", "1")];
        let error = store.transact(changes).await.expect_err("one change cannot be made");
        assert!(codes.contains(&error.code().id), "{error:?}");
        assert_eq!(store.entry("first").await, None);
        assert_eq!(store.entry("last").await, None);
        assert_eq!((store.entry("kept").await, store.entry("deleted").await), before);
    }
}

async fn later_changes_see_the_earlier_ones(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    store.apply(set("k", "old")).await;
    let first = |key, value| provided(set(key, value), Precondition::Absent);
    let changes =
        vec![delete("k"), first("k", "new"), set("n", "1"), set("n", "2"), delete("n"), first("n", "3")];
    store.transact(changes).await.expect("the changes are made");
    assert_eq!(store.text("k").await.as_deref(), Some("new"));
    assert_eq!(store.text("n").await.as_deref(), Some("3"));
    let changes = vec![set("m", "1"), first("m", "2")];
    is_code(&store.transact(changes).await.expect_err("`m` is there by then"), "ETAG_MISMATCH");
    assert_eq!(store.entry("m").await, None);
}

async fn too_many_changes_are_refused_and_none_is_made(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    let most = store.0.capabilities().transaction_changes_max.expect("it is declared");
    if most > TRIED_MAX {
        return;
    }
    let some = |count: usize| (0..count).map(|at| set(&format!("k{at}"), "v")).collect::<Vec<_>>();
    is_code(&store.transact(some(most + 1)).await.expect_err("one too many"), "INVALID_FIELD");
    assert_eq!(store.entry("k0").await, None);
    store.transact(some(most)).await.expect("as many as it declares");
    assert!(store.entry(&format!("k{}", most - 1)).await.is_some());
}

async fn transactions_of_the_same_keys_do_not_interleave(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    let write = |writer: usize| {
        let store = store.clone();
        tokio::spawn(async move {
            for step in 0..8 {
                let value = format!("{writer} {step}");
                let changes = ["a", "b", "c"].map(|key| set(key, &value));
                store.transact(changes.to_vec()).await.expect("the changes are made");
            }
        })
    };
    for writer in (0..6).map(write).collect::<Vec<_>>() {
        writer.await.expect("a writer does not panic");
    }
    let last = store.text("a").await;
    assert!(last.is_some() && last == store.text("b").await && last == store.text("c").await);
}

async fn transactions_in_opposite_orders_all_end(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    let write = |writer: usize| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut keys: Vec<String> = (0..8).map(|key| format!("key {key}")).collect();
            if writer.is_multiple_of(2) {
                keys.reverse();
            }
            for round in 0..5 {
                let changes = keys.iter().map(|key| set(key, &round.to_string()));
                store.transact(changes.collect()).await.expect("the changes are made");
                if round == 2 {
                    let changes = keys.iter().map(|key| delete(key));
                    store.transact(changes.collect()).await.expect("the changes are made");
                }
            }
        })
    };
    for writer in (0..6).map(write).collect::<Vec<_>>() {
        writer.await.expect("a writer does not panic");
    }
}

async fn a_time_to_live_holds_in_a_transaction(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    let hour = Duration::from_secs(3600);
    store.apply(lasting(set("stays", "v"), hour)).await;
    let changes = vec![lasting(set("ends", "v"), hour), set("stays", "w")];
    store.transact(changes).await.expect("the changes are made");
    assert!(store.entry("ends").await.expect("it is there").expires_at_ms.is_some());
    assert_eq!(store.entry("stays").await.expect("it is there").expires_at_ms, None);
}
