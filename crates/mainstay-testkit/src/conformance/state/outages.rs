//! A server that is gone, or does not answer: calls fail in time, and the store recovers by itself.

use std::time::{Duration, Instant};

use mainstay_core::Error;

use super::{Need, Open, Outage as _, PATIENCE, Store, promises, set, within};

promises! {
    a_server_that_is_gone_is_unavailable_until_it_is_back,
    a_server_that_does_not_answer_is_given_up_at_the_deadline,
}

/// What a call has; much less than what the test waits for it.
const DEADLINE: Duration = Duration::from_millis(500);

/// The failures of one call of each kind.
async fn failures(store: &Store) -> Vec<Error> {
    let keys = ["k".to_owned(), "l".to_owned()];
    let mut failures = vec![
        store.0.get(&within(DEADLINE), "k").await.expect_err("a read fails"),
        store.0.apply(&within(DEADLINE), set("k", "w")).await.expect_err("a change fails"),
        store.0.ready(&within(DEADLINE)).await.expect_err("it is not ready"),
    ];
    let many = store.0.get_many(&within(DEADLINE), &keys).await;
    assert_eq!(many.len(), keys.len());
    failures.extend(many.into_iter().map(|one| one.expect_err("a read fails")));
    let each = store.0.apply_each(&within(DEADLINE), vec![set("k", "x"), set("l", "x")]).await;
    assert_eq!(each.len(), 2);
    failures.extend(each.into_iter().map(|one| one.expect_err("a change fails")));
    if store.0.capabilities().transaction_changes_max.is_some() {
        let both = store.0.transact(&within(DEADLINE), vec![set("k", "y"), set("l", "y")]).await;
        failures.push(both.expect_err("a transaction fails"));
    }
    failures
}

/// Waits until the value is read.
async fn recovered(store: &Store) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.0.get(&within(DEADLINE), "k").await {
            Ok(entry) => {
                entry.expect("what was acknowledged is there");
                break;
            }
            Err(error) => assert!(Instant::now() < deadline, "it does not recover: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.apply(set("k", "after")).await;
    assert_eq!(store.text("k").await.as_deref(), Some("after"));
    store.0.ready(&within(PATIENCE)).await.expect("it is ready again");
    if store.0.capabilities().transaction_changes_max.is_some() {
        store.transact(vec![set("k", "a"), set("l", "b")]).await.expect("transactions work again");
    }
}

async fn a_server_that_is_gone_is_unavailable_until_it_is_back(open: Open) {
    let rig = open(Need::Server).await;
    let store = Store(rig.store());
    store.apply(set("k", "v")).await;
    for _ in 0..2 {
        rig.below().stop().await;
        for error in failures(&store).await {
            let code = error.code().id;
            assert!(["STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code), "{error:?}");
        }
        rig.below().start().await;
        recovered(&store).await;
    }
}

async fn a_server_that_does_not_answer_is_given_up_at_the_deadline(open: Open) {
    let rig = open(Need::Server).await;
    let store = Store(rig.store());
    store.apply(set("k", "v")).await;
    rig.below().freeze().await;
    // What a call in time would take is nothing beside this; one that waits for the server never ends.
    let given_up = tokio::time::timeout(PATIENCE, failures(&store)).await;
    rig.below().thaw().await;
    for error in given_up.expect("calls are given up at their deadline") {
        let code = error.code().id;
        assert!(["STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code), "{error:?}");
    }
    recovered(&store).await;
}
