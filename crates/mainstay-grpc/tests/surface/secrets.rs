//! Secrets.

use mainstay_proto::runtime::v1::*;
use tonic::Code;

use crate::house::{House, With, check};

fn ask(store: &str, key: &str) -> GetSecretRequest {
    GetSecretRequest { store_name: store.to_owned(), key: key.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_secret_is_read_by_its_name_and_all_that_may_be() {
    let house = House::new().await;
    let mut client = house.client().await;
    let found = client.get_secret(ask("vault", "password")).await.unwrap().into_inner();
    assert_eq!(found.data["password"], "password value");
    let all = GetBulkSecretRequest { store_name: "vault".to_owned(), ..Default::default() };
    let all = client.get_bulk_secret(all).await.unwrap().into_inner();
    assert_eq!(all.data.keys().collect::<Vec<_>>(), ["password"]);
    assert_eq!(all.data["password"].secrets["password"], "password value");
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_no_details() {
    let house = House::new().await;
    let mut client = house.client().await;
    check(client.get_secret(ask("nowhere", "a")).await, Code::InvalidArgument, "");
    check(client.get_secret(ask("vault", "hidden")).await, Code::PermissionDenied, "");
    check(client.get_secret(ask("vault", "none")).await, Code::Internal, "");

    let bare = House::with(With { bare: true, ..With::default() }).await;
    check(bare.client().await.get_secret(ask("vault", "a")).await, Code::FailedPrecondition, "");
}
