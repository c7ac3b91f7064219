//! State.

use std::collections::BTreeMap;

use mainstay_proto::common::v1::state_options::StateConcurrency;
use mainstay_proto::common::v1::{Etag, StateItem, StateOptions};
use mainstay_proto::runtime::v1::*;
use tonic::Code;

use crate::house::{House, With, check, details};

fn item(key: &str, value: &str) -> StateItem {
    StateItem { key: key.to_owned(), value: value.to_owned().into(), ..StateItem::default() }
}

fn with_etag(key: &str, value: &str, etag: &str) -> StateItem {
    StateItem { etag: Some(Etag { value: etag.to_owned() }), ..item(key, value) }
}

fn first_write(key: &str, value: &str) -> StateItem {
    let options =
        StateOptions { concurrency: StateConcurrency::ConcurrencyFirstWrite.into(), ..Default::default() };
    StateItem { options: Some(options), ..item(key, value) }
}

fn save(store: &str, states: Vec<StateItem>) -> SaveStateRequest {
    SaveStateRequest { store_name: store.to_owned(), states }
}

fn get(store: &str, key: &str) -> GetStateRequest {
    GetStateRequest { store_name: store.to_owned(), key: key.to_owned(), ..Default::default() }
}

fn delete(store: &str, key: &str, etag: Option<&str>) -> DeleteStateRequest {
    let etag = etag.map(|value| Etag { value: value.to_owned() });
    DeleteStateRequest { store_name: store.to_owned(), key: key.to_owned(), etag, ..Default::default() }
}

fn transaction(store: &str, operations: Vec<(&str, StateItem)>) -> ExecuteStateTransactionRequest {
    let operation = |(kind, item): (&str, StateItem)| TransactionalStateOperation {
        operation_type: kind.to_owned(),
        request: Some(item),
    };
    let operations = operations.into_iter().map(operation).collect();
    ExecuteStateTransactionRequest { store_name: store.to_owned(), operations, metadata: BTreeMap::new() }
}

#[tokio::test]
async fn a_value_comes_back_byte_for_byte_with_its_etag() {
    let house = House::new().await;
    let mut client = house.client().await;
    let bytes = StateItem { value: vec![0, 159, 146, 150].into(), ..item("a", "") };
    client.save_state(save("orders", vec![bytes, item("b", "{ \"x\": 1 }")])).await.unwrap();
    let found = client.get_state(get("orders", "a")).await.unwrap().into_inner();
    assert_eq!(found.data, vec![0, 159, 146, 150]);
    assert!(!found.etag.is_empty() && found.metadata.is_empty());
    let found = client.get_state(get("orders", "b")).await.unwrap().into_inner();
    assert_eq!(found.data, "{ \"x\": 1 }");
    let missing = client.get_state(get("orders", "none")).await.unwrap().into_inner();
    assert_eq!(missing, GetStateResponse::default());
}

#[tokio::test]
async fn an_etag_holds_or_the_change_is_aborted() {
    let house = House::new().await;
    let mut client = house.client().await;
    client.save_state(save("orders", vec![first_write("a", "1")])).await.unwrap();
    let again = client.save_state(save("orders", vec![first_write("a", "2")])).await;
    check(again, Code::Aborted, "ERR_STATE_SAVE");
    let etag = client.get_state(get("orders", "a")).await.unwrap().into_inner().etag;
    client.save_state(save("orders", vec![with_etag("a", "2", &etag)])).await.unwrap();
    let stale = client.save_state(save("orders", vec![with_etag("a", "3", &etag)])).await;
    check(stale, Code::Aborted, "ERR_STATE_SAVE");
    check(client.delete_state(delete("orders", "a", Some(&etag))).await, Code::Aborted, "ERR_STATE_DELETE");
    let states = vec![with_etag("a", "", &etag)];
    let several = DeleteBulkStateRequest { store_name: "orders".to_owned(), states };
    check(client.delete_bulk_state(several).await, Code::Aborted, "ERR_STATE_BULK_DELETE");
    client.delete_state(delete("orders", "a", None)).await.unwrap();
    assert!(client.get_state(get("orders", "a")).await.unwrap().into_inner().data.is_empty());
}

#[tokio::test]
async fn a_value_with_a_time_to_live_says_its_end() {
    let house = House::new().await;
    let mut client = house.client().await;
    let ttl = |text: &str| {
        let metadata = BTreeMap::from([("ttlInSeconds".to_owned(), text.to_owned())]);
        save("orders", vec![StateItem { metadata, ..item("a", "1") }])
    };
    client.save_state(ttl("60")).await.unwrap();
    let found = client.get_state(get("orders", "a")).await.unwrap().into_inner();
    assert_eq!(found.metadata["ttlExpireTime"], "2023-11-14T22:14:20Z");
    check(client.save_state(ttl("soon")).await, Code::Internal, "ERR_STATE_SAVE");
}

#[tokio::test]
async fn several_keys_are_read_at_once_each_with_its_own_failure() {
    let house = House::new().await;
    let mut client = house.client().await;
    client.save_state(save("orders", vec![item("a", "1"), item("b", "2")])).await.unwrap();
    let ask = |store: &str, keys: &[&str]| GetBulkStateRequest {
        store_name: store.to_owned(),
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
        parallelism: 2,
        metadata: BTreeMap::new(),
    };
    let items = client.get_bulk_state(ask("orders", &["a", "none", "b"])).await.unwrap().into_inner().items;
    let read: Vec<_> =
        items.iter().map(|item| (item.key.as_str(), &*item.data, item.etag.is_empty())).collect();
    assert_eq!(read, [("a", &b"1"[..], false), ("none", b"", true), ("b", b"2", false)]);
    let failed = client.get_bulk_state(ask("broken", &["a"])).await.unwrap().into_inner().items;
    assert_eq!(failed[0].error, "reach the store: it is down");
    assert!(client.get_bulk_state(ask("orders", &[])).await.unwrap().into_inner().items.is_empty());
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let house = House::new().await;
    let mut client = house.client().await;
    client.save_state(save("orders", vec![item("old", "1")])).await.unwrap();
    let good = vec![("upsert", item("new", "2")), ("delete", item("old", ""))];
    client.execute_state_transaction(transaction("orders", good)).await.unwrap();
    assert!(client.get_state(get("orders", "old")).await.unwrap().into_inner().data.is_empty());
    let stale = vec![("upsert", item("other", "3")), ("upsert", with_etag("new", "4", "1000"))];
    let failed = client.execute_state_transaction(transaction("orders", stale)).await;
    check(failed, Code::Internal, "ERR_STATE_TRANSACTION");
    assert!(client.get_state(get("orders", "other")).await.unwrap().into_inner().data.is_empty());
    let odd = client.execute_state_transaction(transaction("orders", vec![("merge", item("a", "1"))])).await;
    check(odd, Code::Unimplemented, "ERR_NOT_SUPPORTED_STATE_OPERATION");
    let good = vec![("upsert", item("a", "1"))];
    let failed = client.execute_state_transaction(transaction("broken", good)).await.unwrap_err();
    let kinds: Vec<_> = details(&failed).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["Help", "ResourceInfo", "ErrorInfo"]);
    check::<()>(Err(failed), Code::Unimplemented, "DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED");
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_reasons() {
    let house = House::new().await;
    let mut client = house.client().await;
    let invalid = Code::InvalidArgument;
    check(client.get_state(get("nowhere", "a")).await, invalid, "DAPR_STATE_NOT_FOUND");
    check(client.get_state(get("orders", "a||b")).await, invalid, "DAPR_STATE_ILLEGAL_KEY");
    check(client.save_state(save("orders", vec![item("a||b", "")])).await, invalid, "DAPR_STATE_ILLEGAL_KEY");
    check(client.save_state(save("orders", vec![item("", "1")])).await, invalid, "ERR_STATE_SAVE");
    check(client.get_state(get("broken", "a")).await, Code::Internal, "ERR_STATE_GET");
    check(client.save_state(save("broken", vec![item("a", "1")])).await, Code::Internal, "ERR_STATE_SAVE");
    let json = BTreeMap::from([("contentType".to_owned(), "application/json".to_owned())]);
    let no_json = StateItem { metadata: json, ..item("a", "{") };
    check(client.save_state(save("orders", vec![no_json])).await, invalid, "ERR_MALFORMED_REQUEST");
    let query = |text: &str| QueryStateRequest {
        store_name: "orders".to_owned(),
        query: text.to_owned(),
        ..Default::default()
    };
    let cannot = client.query_state_alpha1(query("{}")).await;
    check(cannot, Code::Internal, "DAPR_STATE_QUERYING_NOT_SUPPORTED");
    // Whether it can be searched at all is said before what the query is.
    let cannot = client.query_state_alpha1(query("{")).await;
    check(cannot, Code::Internal, "DAPR_STATE_QUERYING_NOT_SUPPORTED");
    check(client.save_state(save("nowhere", vec![item("", "1")])).await, invalid, "DAPR_STATE_NOT_FOUND");

    let bare = House::with(With { bare: true, ..With::default() }).await;
    let none = bare.client().await.get_state(get("orders", "a")).await;
    check(none, Code::FailedPrecondition, "DAPR_STATE_NOT_CONFIGURED");
}

#[tokio::test]
async fn a_failure_does_not_say_what_is_for_the_log() {
    let house = House::new().await;
    let failed = house.client().await.get_state(get("broken", "a")).await.unwrap_err();
    assert!(failed.message().contains("it is down") && !failed.message().contains("10.0.0.7"));
}
