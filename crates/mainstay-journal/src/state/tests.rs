//! What the port's suite cannot see: restarts, space, reads while the view is behind, and refusals that wait.

mod disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::state::{Change, Filter, Format, Precondition, Query, StateStore};
use mainstay_core::{Ctx, codes};
use serde_json::json;

use crate::{EmbeddedOptions, Stores};

struct Rig {
    stores: Stores,
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
}

/// Small segments, blobs from 2 KiB on, and no care but the test's.
fn open(folder: &Path) -> Rig {
    let options = EmbeddedOptions {
        segment_bytes: 64 * 1024,
        inline_bytes_max: 2 * 1024,
        view_delay: Duration::from_millis(5),
        care_interval: Duration::from_secs(3600),
        ..EmbeddedOptions::new(folder)
    };
    let clock = Arc::new(ManualClock::at(1_000_000));
    let stores = Stores::new(options, clock.clone());
    let store = stores.state_store("orders").unwrap_or_else(|e| panic!("{e}: {:?}", e.internal()));
    Rig { stores, store, clock }
}

fn set(key: &str, value: impl Into<Bytes>) -> Change {
    Change::Set {
        key: key.to_owned(),
        value: value.into(),
        format: Format::Bytes,
        precondition: Precondition::None,
        ttl: None,
    }
}

fn set_if(key: &str, value: &str, wanted: Precondition) -> Change {
    let Change::Set { key, value, format, ttl, .. } = set(key, value.to_owned()) else { panic!("a set") };
    Change::Set { key, value, format, ttl, precondition: wanted }
}

fn set_for(key: &str, value: &str, seconds: u64) -> Change {
    let Change::Set { key, value, format, precondition, .. } = set(key, value.to_owned()) else {
        panic!("a set")
    };
    Change::Set { key, value, format, precondition, ttl: Some(Duration::from_secs(seconds)) }
}

fn delete(key: &str) -> Change {
    Change::Delete { key: key.to_owned(), precondition: Precondition::None }
}

async fn apply(rig: &Rig, change: Change) {
    rig.store.apply(&Ctx::system(), change).await.unwrap_or_else(|e| panic!("{e}: {:?}", e.internal()));
}

async fn value(rig: &Rig, key: &str) -> Option<Vec<u8>> {
    rig.store.get(&Ctx::system(), key).await.unwrap().map(|entry| entry.value.to_vec())
}

async fn etag(rig: &Rig, key: &str) -> u64 {
    rig.store.get(&Ctx::system(), key).await.unwrap().unwrap().etag.parse().unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_etags_go_on_rising() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let large = "large ".repeat(5_000);
    apply(&rig, set("a", "1")).await;
    apply(&rig, set("b", large.clone())).await;
    apply(&rig, set("gone", "x")).await;
    apply(&rig, delete("gone")).await;
    let before = etag(&rig, "b").await;
    drop(rig);
    for lose_view in [false, true] {
        if lose_view {
            std::fs::remove_file(folder.path().join("state/view.redb")).unwrap();
        }
        let rig = open(folder.path());
        assert_eq!(value(&rig, "a").await.as_deref(), Some(&b"1"[..]));
        assert_eq!(value(&rig, "b").await.as_deref(), Some(large.as_bytes()));
        assert_eq!(value(&rig, "gone").await, None);
        assert_eq!(etag(&rig, "b").await, before, "a restart changes no version");
        apply(&rig, set("next", "x")).await;
        assert!(etag(&rig, "next").await > before + 2, "a version is never given twice");
    }
}

#[tokio::test]
async fn stores_of_different_names_never_meet() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let other = rig.stores.state_store("order").unwrap();
    apply(&rig, set("k", "ours")).await;
    other.apply(&Ctx::system(), set("sk", "theirs")).await.unwrap();
    assert!(other.get(&Ctx::system(), "k").await.unwrap().is_none());
    let page = other.scan(&Ctx::system(), "", None, 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let same = rig.stores.state_store("orders").unwrap();
    assert!(same.get(&Ctx::system(), "k").await.unwrap().is_some(), "the same name is the same store");
}

#[tokio::test]
async fn a_transaction_is_made_as_a_whole_and_sees_its_own_changes() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    apply(&rig, set("a", "1")).await;
    let version = etag(&rig, "a").await.to_string();
    let refused = vec![set("b", "1"), set_if("a", "2", Precondition::Etag("999".to_owned()))];
    let error = rig.store.transact(&Ctx::system(), refused).await.unwrap_err();
    assert_eq!(error.code(), &codes::ETAG_MISMATCH);
    assert_eq!(value(&rig, "b").await, None);
    let made = vec![
        set_if("a", "2", Precondition::Etag(version)),
        delete("a"),
        set_if("a", "3", Precondition::Absent),
        set("c", "x"),
        set_if("c", "y", Precondition::Etag((etag(&rig, "a").await + 4).to_string())),
    ];
    rig.store.transact(&Ctx::system(), made).await.unwrap();
    assert_eq!(value(&rig, "a").await.as_deref(), Some(&b"3"[..]));
    assert_eq!(value(&rig, "c").await.as_deref(), Some(&b"y"[..]));
    let bad = set_if("a", "x", Precondition::Etag("not a number".to_owned()));
    let error = rig.store.apply(&Ctx::system(), bad).await.unwrap_err();
    assert_eq!(error.code(), &codes::ETAG_INVALID);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_with_the_same_etag_one_wins_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Arc::new(open(folder.path()));
    apply(&rig, set("n", "0")).await;
    let add = |rig: Arc<Rig>| async move {
        for _ in 0..25 {
            loop {
                let entry = rig.store.get(&Ctx::system(), "n").await.unwrap().unwrap();
                let next = std::str::from_utf8(&entry.value).unwrap().parse::<u64>().unwrap() + 1;
                let change = set_if("n", &next.to_string(), Precondition::Etag(entry.etag));
                match rig.store.apply(&Ctx::system(), change).await {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error.code(), &codes::ETAG_MISMATCH),
                }
            }
        }
    };
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(add(rig.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(value(&rig, "n").await.as_deref(), Some(&b"200"[..]));
}

#[tokio::test]
async fn what_has_outlived_its_time_is_absent_at_once_and_swept_later() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    apply(&rig, set_for("k", "1", 10)).await;
    apply(&rig, set_for("later", "1", 30)).await;
    apply(&rig, set("always", "1")).await;
    rig.clock.advance(9_999);
    assert!(value(&rig, "k").await.is_some());
    rig.clock.advance(1);
    assert_eq!(value(&rig, "k").await, None);
    let listed = rig.store.scan(&Ctx::system(), "", None, 10).await.unwrap();
    let names: Vec<_> = listed.entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["always", "later"]);
    rig.stores.tend().await.unwrap();
    rig.stores.tend().await.unwrap();
    rig.clock.advance(100_000);
    rig.stores.tend().await.unwrap();
    let rig_again = {
        drop(rig);
        open(folder.path())
    };
    // The new clock is back where the keys would live: they were removed, not only hidden.
    assert_eq!(value(&rig_again, "k").await, None);
    assert_eq!(value(&rig_again, "later").await, None);
    assert!(value(&rig_again, "always").await.is_some());
    apply(&rig_again, set_if("k", "2", Precondition::Absent)).await;
}

#[tokio::test]
async fn space_of_what_was_replaced_is_given_back_and_all_that_lives_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let body = "x".repeat(1_000);
    for n in 0..40 {
        apply(&rig, set(&format!("kept-{n:02}"), format!("{n} {body}"))).await;
    }
    for n in 0..600 {
        apply(&rig, set(&format!("hot-{}", n % 5), format!("{n} {body}"))).await;
        if n == 300 {
            rig.stores.tend().await.unwrap();
        }
    }
    apply(&rig, set("doomed", "large ".repeat(1_000))).await;
    let highest = etag(&rig, "doomed").await;
    apply(&rig, delete("doomed")).await;
    rig.stores.tend().await.unwrap();
    let stats = rig.stores.state_stats().unwrap();
    assert!(stats.log_bytes < 5 * 64 * 1024, "{} bytes for 45 values of 1 KiB", stats.log_bytes);
    assert_eq!(std::fs::read_dir(folder.path().join("state/blobs")).unwrap().count(), 0);
    let mut rig = rig;
    for lose_view in [false, true] {
        for n in 0..40 {
            let expect = format!("{n} {body}");
            assert_eq!(value(&rig, &format!("kept-{n:02}")).await.as_deref(), Some(expect.as_bytes()));
        }
        for n in 595..600 {
            let expect = format!("{n} {body}");
            assert_eq!(value(&rig, &format!("hot-{}", n % 5)).await.as_deref(), Some(expect.as_bytes()));
        }
        assert_eq!(value(&rig, "doomed").await, None);
        drop(rig);
        if lose_view {
            std::fs::remove_file(folder.path().join("state/view.redb")).unwrap();
        }
        rig = open(folder.path());
    }
    apply(&rig, set("next", "x")).await;
    assert!(etag(&rig, "next").await > highest, "also a version whose record is gone is never given twice");
}

#[tokio::test]
async fn a_scan_lists_every_key_once_and_in_order_over_pages() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    let many: Vec<Change> = (0..900).map(|n| set(&format!("k{n:04}"), format!("{n}"))).collect();
    for change in rig.store.apply_each(&Ctx::system(), many).await {
        change.unwrap();
    }
    rig.stores.tend().await.unwrap();
    for n in (0..900).step_by(3) {
        apply(&rig, set(&format!("k{n:04}"), format!("new {n}"))).await;
    }
    apply(&rig, delete("k0001")).await;
    apply(&rig, set("j", "outside")).await;
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = rig.store.scan(&Ctx::system(), "k", token.as_deref(), 70).await.unwrap();
        found.extend(page.entries.into_iter().map(|(key, entry)| (key, entry.value)));
        token = page.token;
        if token.is_none() {
            break;
        }
    }
    let expect: Vec<(String, Bytes)> = (0..900)
        .filter(|n| *n != 1)
        .map(|n| (format!("k{n:04}"), if n % 3 == 0 { format!("new {n}") } else { n.to_string() }.into()))
        .collect();
    assert_eq!(found, expect);
}

#[tokio::test]
async fn a_query_filters_sorts_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    for n in 0..30 {
        apply(&rig, set(&format!("p{n:02}"), json!({"n": n, "even": n % 2 == 0}).to_string())).await;
    }
    apply(&rig, set("p-text", "not JSON {")).await;
    let mut query = Query {
        prefix: "p".to_owned(),
        filter: Some(Filter::Equal("even".to_owned(), json!(true))),
        sort: vec![("n".to_owned(), true)],
        limit: Some(6),
        token: None,
    };
    let mut found = Vec::new();
    loop {
        let page = rig.store.query(&Ctx::system(), query.clone()).await.unwrap();
        found.extend(page.entries.into_iter().map(|(key, _)| key));
        query.token = page.token;
        if query.token.is_none() {
            break;
        }
    }
    let expect: Vec<String> = (0..30).rev().filter(|n| n % 2 == 0).map(|n| format!("p{n:02}")).collect();
    assert_eq!(found, expect);
    query.token = Some("x".to_owned());
    assert_eq!(rig.store.query(&Ctx::system(), query).await.unwrap_err().code(), &codes::INVALID_FIELD);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let rig = open(folder.path());
    apply(&rig, set("k", "1")).await;
    rig.stores.close();
    let error = rig.store.apply(&Ctx::system(), set("k", "2")).await.unwrap_err();
    assert_eq!(error.code(), &codes::STORE_UNAVAILABLE);
    assert_eq!(rig.store.get(&Ctx::system(), "k").await.unwrap_err().code(), &codes::STORE_UNAVAILABLE);
    assert!(rig.stores.state_store("orders").is_err());
}
