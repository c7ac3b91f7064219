//! Configuration.

use std::collections::BTreeMap;

use http::StatusCode;
use mainstay_blocks::configuration;
use mainstay_core::Error;
use mainstay_core::configuration::Item;
use mainstay_dapr::Fault;
use mainstay_dapr::configuration::{Op, shown};
use serde_json::json;

use crate::answer;
use crate::call::{Call, Result};
use crate::routes::{GET, Route};

const VERSIONS: &[&str] = &["v1.0", "v1.0-alpha1"];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: GET,
        path: "configuration/{store}",
        versions: VERSIONS,
        open: false,
        handler: |call| Box::pin(get(call)),
    },
    Route {
        methods: GET,
        path: "configuration/{store}/subscribe",
        versions: VERSIONS,
        open: false,
        handler: |call| Box::pin(subscribe(call)),
    },
    Route {
        methods: GET,
        path: "configuration/{store}/{id}/unsubscribe",
        versions: VERSIONS,
        open: false,
        handler: |call| Box::pin(unsubscribe(call)),
    },
];

async fn get(call: Call) -> Result {
    let keys = call.queries("key");
    let read =
        configuration::get(call.blocks(), &call.ctx, call.param("store"), &keys, &call.metadata()).await;
    let items = read.map_err(|error| fault(&call, Op::Get, &keys, &error))?;
    if items.is_empty() {
        return Ok(answer::empty());
    }
    let items: BTreeMap<&String, _> =
        items.iter().map(|(key, item): (_, &Item)| (key, shown(item))).collect();
    Ok(answer::json(&items))
}

async fn subscribe(call: Call) -> Result {
    let keys = call.queries("key");
    let (store, metadata) = (call.param("store"), call.metadata());
    let watched = configuration::tell_app(call.blocks(), &call.ctx, store, keys.clone(), metadata).await;
    let id = watched.map_err(|error| fault(&call, Op::Subscribe, &keys, &error))?;
    Ok(answer::json(&json!({"id": id})))
}

async fn unsubscribe(call: Call) -> Result {
    let id = call.param("id");
    let ended = configuration::unwatch(call.blocks(), call.param("store"), id);
    if ended.map_err(|error| fault(&call, Op::Subscribe, &[], &error))? {
        return Ok(answer::json(&json!({"ok": true})));
    }
    let body = json!({"message": mainstay_dapr::configuration::no_watch(id)});
    Ok(answer::json_bytes(StatusCode::INTERNAL_SERVER_ERROR, body.to_string()))
}

fn fault(call: &Call, op: Op, keys: &[String], error: &Error) -> Fault {
    let any = !call.blocks().table().configuration.is_empty();
    mainstay_dapr::configuration::fault(op, call.param("store"), keys, any, error)
}
