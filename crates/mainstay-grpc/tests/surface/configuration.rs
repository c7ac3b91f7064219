//! Configuration.

use mainstay_proto::runtime::v1::*;
use tonic::Code;

use crate::house::{House, With, check};

fn get(store: &str, keys: &[&str]) -> GetConfigurationRequest {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    GetConfigurationRequest { store_name: store.to_owned(), keys, ..Default::default() }
}

fn subscribe(store: &str) -> SubscribeConfigurationRequest {
    let keys = vec!["a".to_owned()];
    SubscribeConfigurationRequest { store_name: store.to_owned(), keys, ..Default::default() }
}

fn unsubscribe(id: &str) -> UnsubscribeConfigurationRequest {
    UnsubscribeConfigurationRequest { store_name: "conf".to_owned(), id: id.to_owned() }
}

#[tokio::test]
async fn items_are_read_by_their_keys_or_all_at_once() {
    let house = House::new().await;
    let mut client = house.client().await;
    let all = client.get_configuration(get("conf", &[])).await.unwrap().into_inner().items;
    assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
    let one = client.get_configuration_alpha1(get("conf", &["a", "c"])).await.unwrap().into_inner().items;
    let a = &one["a"];
    assert_eq!(
        (one.len(), a.value.as_str(), a.version.as_str(), a.metadata["team"].as_str()),
        (1, "1", "v1", "blue")
    );
}

#[tokio::test]
async fn a_stream_says_its_id_first_then_each_change_until_it_is_ended() {
    let house = House::new().await;
    let mut client = house.client().await;
    let mut updates = client.subscribe_configuration(subscribe("conf")).await.unwrap().into_inner();
    let first = updates.message().await.unwrap().unwrap();
    assert!(!first.id.is_empty() && first.items.is_empty());
    house.configure("a: 2\n");
    let update = updates.message().await.unwrap().unwrap();
    assert_eq!((update.id.as_str(), update.items["a"].value.as_str()), (first.id.as_str(), "2"));
    let ended = client.unsubscribe_configuration(unsubscribe(&first.id)).await.unwrap().into_inner();
    assert_eq!((ended.ok, ended.message.as_str()), (true, ""));
    assert!(updates.message().await.unwrap().is_none());
    let again = client.unsubscribe_configuration_alpha1(unsubscribe(&first.id)).await.unwrap().into_inner();
    assert!(!again.ok && again.message.contains(&first.id));
}

#[tokio::test]
async fn a_watch_ends_with_its_stream() {
    let house = House::new().await;
    let mut client = house.client().await;
    let mut updates = client.subscribe_configuration_alpha1(subscribe("conf")).await.unwrap().into_inner();
    let id = updates.message().await.unwrap().unwrap().id;
    drop(updates);
    // The surface learns of it when the reset arrives.
    while client.unsubscribe_configuration(unsubscribe(&id)).await.unwrap().into_inner().ok {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_no_details() {
    let house = House::new().await;
    let mut client = house.client().await;
    check(client.get_configuration(get("nowhere", &[])).await, Code::InvalidArgument, "");
    check(client.subscribe_configuration(subscribe("nowhere")).await, Code::InvalidArgument, "");
    let bare = House::with(With { bare: true, ..With::default() }).await;
    check(bare.client().await.get_configuration(get("conf", &[])).await, Code::FailedPrecondition, "");
}
