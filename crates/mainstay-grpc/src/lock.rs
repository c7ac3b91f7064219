//! Locks.

use mainstay_blocks::lock;
use mainstay_core::Error;
use mainstay_dapr::lock::Op;
use mainstay_proto::runtime::v1 as wire;
use tonic::Status;

use crate::call::{self, Call, Result};

pub(crate) async fn try_lock(call: &Call, asked: wire::TryLockRequest) -> Result<wire::TryLockResponse> {
    let wire::TryLockRequest { store_name: store, resource_id, lock_owner, expiry_in_seconds } = asked;
    let seconds = expiry_in_seconds.into();
    let locked = lock::try_lock(call.blocks(), &call.ctx, &store, &resource_id, &lock_owner, seconds).await;
    let success = locked.map_err(|error| failed(call, Op::TryLock, &store, &error))?;
    Ok(wire::TryLockResponse { success })
}

pub(crate) async fn unlock(call: &Call, asked: wire::UnlockRequest) -> Result<wire::UnlockResponse> {
    let wire::UnlockRequest { store_name: store, resource_id, lock_owner } = asked;
    let done = lock::unlock(call.blocks(), &call.ctx, &store, &resource_id, &lock_owner).await;
    let done = done.map_err(|error| failed(call, Op::Unlock, &store, &error))?;
    Ok(wire::UnlockResponse { status: mainstay_dapr::lock::status(done) })
}

fn failed(call: &Call, op: Op, store: &str, error: &Error) -> Status {
    let any = !call.blocks().table().locks.is_empty();
    call::failed(&mainstay_dapr::lock::fault(op, store, any, error), error)
}
