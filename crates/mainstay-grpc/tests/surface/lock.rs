//! Locks.

use mainstay_proto::runtime::v1::unlock_response::Status;
use mainstay_proto::runtime::v1::*;
use tonic::Code;

use crate::house::{House, With, check};

fn lock(store: &str, owner: &str, seconds: i32) -> TryLockRequest {
    let (store_name, resource_id, lock_owner) = (store.to_owned(), "r".to_owned(), owner.to_owned());
    TryLockRequest { store_name, resource_id, lock_owner, expiry_in_seconds: seconds }
}

fn unlock(owner: &str) -> UnlockRequest {
    let (store_name, resource_id, lock_owner) = ("locks".to_owned(), "r".to_owned(), owner.to_owned());
    UnlockRequest { store_name, resource_id, lock_owner }
}

#[tokio::test]
async fn a_lock_is_taken_once_and_given_back_by_its_owner() {
    let house = House::new().await;
    let mut client = house.client().await;
    assert!(client.try_lock_alpha1(lock("locks", "a", 60)).await.unwrap().into_inner().success);
    assert!(!client.try_lock_alpha1(lock("locks", "b", 60)).await.unwrap().into_inner().success);
    for (owner, expect) in
        [("b", Status::LockBelongsToOthers), ("a", Status::Success), ("a", Status::LockDoesNotExist)]
    {
        assert_eq!(client.unlock_alpha1(unlock(owner)).await.unwrap().into_inner().status(), expect);
    }
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_no_details() {
    let house = House::new().await;
    let mut client = house.client().await;
    check(client.try_lock_alpha1(lock("nowhere", "a", 1)).await, Code::InvalidArgument, "");
    check(client.try_lock_alpha1(lock("locks", "", 1)).await, Code::InvalidArgument, "");
    check(client.try_lock_alpha1(lock("locks", "a", 0)).await, Code::InvalidArgument, "");
    let bare = House::with(With { bare: true, ..With::default() }).await;
    check(bare.client().await.unlock_alpha1(unlock("a")).await, Code::FailedPrecondition, "");
    check(bare.client().await.try_lock_alpha1(lock("locks", "a", 1)).await, Code::FailedPrecondition, "");
    // The time is looked at before the store.
    check(bare.client().await.try_lock_alpha1(lock("locks", "a", 0)).await, Code::InvalidArgument, "");
}
