//! Locks.

use mainstay_blocks::lock;
use mainstay_core::Error;
use mainstay_dapr::Fault;
use mainstay_dapr::lock::Op;
use serde::Deserialize;
use serde_json::json;

use crate::answer;
use crate::call::{Call, Result, number, or_default};
use crate::routes::{POST, Route};

const ALPHA: &[&str] = &["v1.0-alpha1"];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: POST,
        path: "lock/{store}",
        versions: ALPHA,
        open: false,
        handler: |call| Box::pin(try_lock(call)),
    },
    Route {
        methods: POST,
        path: "unlock/{store}",
        versions: ALPHA,
        open: false,
        handler: |call| Box::pin(unlock(call)),
    },
];

/// Names are taken in both ways that protobuf's JSON has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default, alias = "resource_id", deserialize_with = "or_default")]
    resource_id: String,
    #[serde(default, alias = "lock_owner", deserialize_with = "or_default")]
    lock_owner: String,
    #[serde(default, alias = "expiry_in_seconds", deserialize_with = "number")]
    expiry_in_seconds: i64,
}

async fn try_lock(call: Call) -> Result {
    let Asked { resource_id, lock_owner, expiry_in_seconds } = call.json()?;
    let store = call.param("store");
    let (blocks, ctx) = (call.blocks(), &call.ctx);
    let locked = lock::try_lock(blocks, ctx, store, &resource_id, &lock_owner, expiry_in_seconds).await;
    let success = locked.map_err(|error| fault(&call, Op::TryLock, &error))?;
    Ok(answer::json(&json!({"success": success})))
}

async fn unlock(call: Call) -> Result {
    let Asked { resource_id, lock_owner, .. } = call.json()?;
    let done = lock::unlock(call.blocks(), &call.ctx, call.param("store"), &resource_id, &lock_owner).await;
    let done = done.map_err(|error| fault(&call, Op::Unlock, &error))?;
    Ok(answer::json(&json!({"status": mainstay_dapr::lock::status(done)})))
}

fn fault(call: &Call, op: Op, error: &Error) -> Fault {
    let any = !call.blocks().table().locks.is_empty();
    mainstay_dapr::lock::fault(op, call.param("store"), any, error)
}
