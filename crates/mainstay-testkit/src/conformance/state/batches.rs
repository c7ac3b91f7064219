//! Several keys at once: each has its own outcome, in the order asked.

use mainstay_core::state::Precondition;

use super::{Open, ctx, delete, etag, fresh, is_code, promises, provided, set};

promises! {
    several_keys_are_read_in_the_order_asked,
    no_keys_read_as_nothing,
    many_keys_are_read_at_once,
    each_change_is_made_or_not_by_itself,
    changes_of_one_key_are_made_in_their_order,
}

async fn several_keys_are_read_in_the_order_asked(open: Open) {
    let (_rig, store) = fresh(&open).await;
    for key in ["a", "b", "c"] {
        store.apply(set(key, &format!("of {key}"))).await;
    }
    let keys = ["c", "none", "a", "c", "b"].map(str::to_owned);
    let found = store.0.get_many(&ctx(), &keys).await;
    let texts: Vec<_> = found
        .into_iter()
        .map(|found| {
            found.expect("it is read").map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
        })
        .collect();
    let wanted = [Some("of c"), None, Some("of a"), Some("of c"), Some("of b")];
    assert_eq!(texts, wanted.map(|text| text.map(str::to_owned)));
}

async fn no_keys_read_as_nothing(open: Open) {
    let (_rig, store) = fresh(&open).await;
    assert!(store.0.get_many(&ctx(), &[]).await.is_empty());
    assert!(store.0.apply_each(&ctx(), Vec::new()).await.is_empty());
}

async fn many_keys_are_read_at_once(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let keys: Vec<String> = (0..300).map(|at| format!("key {at}")).collect();
    let done = store.0.apply_each(&ctx(), keys.iter().map(|key| set(key, key)).collect()).await;
    assert!(done.iter().all(Result::is_ok), "{:?}", done.iter().find(|done| done.is_err()));
    let found = store.0.get_many(&ctx(), &keys).await;
    assert_eq!(found.len(), keys.len());
    for (key, found) in keys.iter().zip(found) {
        let entry = found.expect("it is read").expect("it is there");
        assert_eq!(entry.value, key.as_bytes());
        assert_eq!(entry.etag, store.etag(key).await, "the etag is the same as of a single read");
    }
}

async fn each_change_is_made_or_not_by_itself(open: Open) {
    let (rig, store) = fresh(&open).await;
    store.apply(set("taken", "old")).await;
    store.apply(set("gone", "old")).await;
    let stale = store.etag("gone").await;
    store.apply(set("gone", "newer")).await;
    let changes = vec![
        set("one", "1"),
        provided(set("taken", "new"), Precondition::Absent),
        provided(delete("gone"), etag(&stale)),
        provided(set("one", "3"), etag("no etag")),
        set("two", "2"),
        delete("never"),
    ];
    let done = store.0.apply_each(&ctx(), changes).await;
    let codes: Vec<_> = done.iter().map(|done| done.as_ref().err().map(|error| error.code().id)).collect();
    let nonsense = if rig.takes_any_etag() { "ETAG_MISMATCH" } else { "ETAG_INVALID" };
    let wanted = [None, Some("ETAG_MISMATCH"), Some("ETAG_MISMATCH"), Some(nonsense), None, None];
    assert_eq!(codes, wanted);
    for (key, value) in [("one", "1"), ("two", "2"), ("taken", "old"), ("gone", "newer")] {
        assert_eq!(store.text(key).await.as_deref(), Some(value), "{key}");
    }
}

async fn changes_of_one_key_are_made_in_their_order(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let mut changes: Vec<_> = (0..20).map(|at| set("k", &at.to_string())).collect();
    changes.push(provided(set("k", "late"), Precondition::Absent));
    changes.push(delete("k"));
    changes.push(provided(set("k", "last"), Precondition::Absent));
    changes.push(set("other", "1"));
    changes.push(delete("other"));
    let mut done = store.0.apply_each(&ctx(), changes).await;
    let refused = done.remove(20).expect_err("the key is there by then");
    is_code(&refused, "ETAG_MISMATCH");
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(store.text("k").await.as_deref(), Some("last"));
    assert_eq!(store.entry("other").await, None);
}
