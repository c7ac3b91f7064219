//! Keys by prefix, in the order of their bytes, page by page; or `UNSUPPORTED` where that is not declared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::state::RESERVED;

use super::{Open, PATIENCE, Rig, Store, ctx, delete, fresh, is_code, lasting, promises, set};

promises! {
    scans_work_where_declared_and_nowhere_else,
    keys_are_listed_in_the_order_of_their_bytes,
    a_prefix_means_its_characters,
    pages_join_without_gap_or_repeat,
    a_page_goes_on_after_a_key_that_is_gone,
    what_was_deleted_or_has_ended_is_not_listed,
    reserved_keys_are_listed_where_declared_and_nowhere_else,
}

const ODD: [&str; 14] =
    ["%", "_", "a", "a%b", "a_b", "axb", "a||b", "a|b", "a'b", "a\\b", "a*", "B", "\u{e9}", "\u{1f980}x"];

async fn declared(open: &Open) -> Option<(Arc<dyn Rig>, Store)> {
    let (rig, store) = fresh(open).await;
    store.0.capabilities().scan.then_some((rig, store))
}

/// All keys under the prefix, asked for in pages of `limit`.
async fn listed(store: &Store, prefix: &str, limit: usize) -> Vec<String> {
    let (mut keys, mut token) = (Vec::new(), None);
    loop {
        let page = store.0.scan(&ctx(), prefix, token.as_deref(), limit).await.expect("the keys are listed");
        assert!(page.entries.len() <= limit, "a page of {} where {limit} is the bound", page.entries.len());
        assert!(page.token.is_none() || !page.entries.is_empty(), "an empty page before the last");
        for (key, entry) in page.entries {
            assert_eq!(store.entry(&key).await, Some(entry), "a scan reads what a get does");
            keys.push(key);
        }
        token = page.token;
        if token.is_none() {
            return keys;
        }
    }
}

async fn scans_work_where_declared_and_nowhere_else(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "v")).await;
    let outcome = store.0.scan(&ctx(), "", None, 10).await;
    if store.0.capabilities().scan {
        assert_eq!(outcome.expect("what is declared works").entries.len(), 1);
    } else {
        is_code(&outcome.expect_err("what is not declared does not work"), "UNSUPPORTED");
    }
}

async fn reserved_keys_are_listed_where_declared_and_nowhere_else(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let prefix = format!("{RESERVED}x||");
    if !store.0.capabilities().scan_reserved {
        is_code(
            &store.0.scan(&ctx(), &prefix, None, 2).await.expect_err("it is not declared"),
            "UNSUPPORTED",
        );
        return;
    }
    let key = |n: usize| format!("{prefix}{n:03}");
    assert_eq!(listed(&store, &prefix, 2).await, [""; 0], "there are none yet");
    // Among others, in one transaction with what is not listed, and not in their order.
    store.apply(set(&format!("{RESERVED}w||1"), "no")).await;
    store.apply(set("k", "no")).await;
    for n in [3, 1, 4, 0, 2] {
        let changes = vec![set("k", "no"), set(&key(n), "yes")];
        store.0.transact(&ctx(), changes).await.expect("the changes are made");
    }
    assert_eq!(listed(&store, &prefix, 2).await, (0..5).map(key).collect::<Vec<_>>());
    let deletes = [0, 1, 3].map(|n| delete(&key(n))).to_vec();
    assert!(store.0.apply_each(&ctx(), deletes).await.iter().all(Result::is_ok));
    assert_eq!(listed(&store, &prefix, 1).await, [key(2), key(4)]);
}

async fn keys_are_listed_in_the_order_of_their_bytes(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    assert_eq!(listed(&store, "", 5).await, [""; 0]);
    for key in ODD {
        store.apply(set(key, key)).await;
    }
    let mut wanted = ODD.to_vec();
    wanted.sort_unstable();
    assert_eq!(listed(&store, "", 100).await, wanted);
}

async fn a_prefix_means_its_characters(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    for key in ODD {
        store.apply(set(key, key)).await;
    }
    let prefixes = [
        "a",
        "a%",
        "a_",
        "a|",
        "a||",
        "a'",
        "a\\",
        "a*",
        "%",
        "_",
        "b",
        "\u{e9}",
        "\u{1f980}",
        "\u{10ffff}",
        "zz",
    ];
    for prefix in prefixes {
        let mut wanted: Vec<_> = ODD.into_iter().filter(|key| key.starts_with(prefix)).collect();
        wanted.sort_unstable();
        assert_eq!(listed(&store, prefix, 100).await, wanted, "under {prefix:?}");
    }
}

async fn pages_join_without_gap_or_repeat(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    let keys: Vec<String> = (0..23).map(|at| format!("p||{at:02}")).collect();
    for key in keys.iter().rev() {
        store.apply(set(key, key)).await;
    }
    store.apply(set("o", "before")).await;
    store.apply(set("q", "after")).await;
    for limit in [1, 5, 22, 23, 24, 1_000] {
        assert_eq!(listed(&store, "p||", limit).await, keys, "in pages of {limit}");
    }
}

async fn a_page_goes_on_after_a_key_that_is_gone(open: Open) {
    let Some((_rig, store)) = declared(&open).await else { return };
    for key in ["a", "b", "c", "d"] {
        store.apply(set(key, key)).await;
    }
    let first = store.0.scan(&ctx(), "", None, 2).await.expect("the keys are listed");
    for key in ["b", "c"] {
        store.apply(delete(key)).await;
    }
    let rest = store.0.scan(&ctx(), "", first.token.as_deref(), 2).await.expect("the keys are listed");
    let keys: Vec<_> = rest.entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((keys, rest.token), (vec!["d"], None));
}

async fn what_was_deleted_or_has_ended_is_not_listed(open: Open) {
    let Some((rig, store)) = declared(&open).await else { return };
    for key in ["deleted", "kept"] {
        store.apply(set(key, key)).await;
    }
    store.apply(lasting(set("ended", "v"), Duration::from_secs(1))).await;
    store.apply(delete("deleted")).await;
    let deadline = Instant::now() + PATIENCE;
    while store.entry("ended").await.is_some() {
        assert!(Instant::now() < deadline, "it outlives its time");
        rig.tick().await;
    }
    assert_eq!(listed(&store, "", 10).await, ["kept"]);
}
