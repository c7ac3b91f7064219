//! Locks.

use std::collections::BTreeMap;

use mainstay_blocks::Table;
use mainstay_blocks::lock::{Rules, Store};
use serde_json::json;

use crate::house::{House, app, clock};

async fn house() -> House {
    let port = mainstay_testkit::components::lock_store(&clock()).await;
    let store = Store::new(port, Rules::of(None, "locks", &app()));
    House::new(Table { locks: BTreeMap::from([("locks".to_owned(), store)]), ..Table::default() })
}

const LOCK: &str = "/v1.0-alpha1/lock/locks";
const UNLOCK: &str = "/v1.0-alpha1/unlock/locks";

#[tokio::test]
async fn a_lock_is_taken_once_and_given_back_by_its_owner() {
    let house = house().await;
    let by = |owner: &str| format!(r#"{{"resourceId":"r","lockOwner":"{owner}","expiryInSeconds":60}}"#);
    house.check("POST", LOCK, &by("a"), (200, json!({"success": true}))).await;
    house.check("POST", LOCK, &by("b"), (200, json!({"success": false}))).await;
    house.check("POST", UNLOCK, &by("b"), (200, json!({"status": 2}))).await;
    house.check("POST", UNLOCK, &by("a"), (200, json!({"status": 0}))).await;
    house.check("POST", UNLOCK, &by("a"), (200, json!({"status": 1}))).await;
}

#[tokio::test]
async fn names_and_numbers_are_taken_as_protobufs_json_has_them() {
    let house = house().await;
    let snake = r#"{"resource_id":"r","lock_owner":"a","expiry_in_seconds":"60","unknown":1}"#;
    house.check("POST", LOCK, snake, (200, json!({"success": true}))).await;
}

#[tokio::test]
async fn failures_have_the_protocols_statuses() {
    let house = house().await;
    let whole = r#"{"resourceId":"r","lockOwner":"a","expiryInSeconds":1}"#;
    let elsewhere = (400, "ERR_LOCK_STORE_NOT_FOUND");
    house.check_fault("POST", "/v1.0-alpha1/lock/other", whole, elsewhere).await;
    for bad in [
        "{",
        "{}",
        r#"{"resourceId":"r","expiryInSeconds":1}"#,
        r#"{"resourceId":"r","lockOwner":"a"}"#,
        r#"{"resourceId":"r","lockOwner":"a","expiryInSeconds":-1}"#,
        r#"{"resourceId":"r","lockOwner":"a","expiryInSeconds":1.5}"#,
    ] {
        house.check_fault("POST", LOCK, bad, (400, "ERR_MALFORMED_REQUEST")).await;
    }
    let other = r#"{"resourceId":"other||r","lockOwner":"a","expiryInSeconds":1}"#;
    house.check_fault("POST", LOCK, other, (500, "ERR_TRY_LOCK")).await;
    let bare = House::new(Table::default());
    bare.check_fault("POST", UNLOCK, whole, (500, "ERR_LOCK_STORE_NOT_CONFIGURED")).await;
}
