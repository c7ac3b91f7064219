//! Secrets.

use std::collections::BTreeMap;

use mainstay_blocks::secrets;
use mainstay_core::secret_store::Secret;

use crate::answer;
use crate::call::{Call, Result};
use crate::routes::{GET, Route, STABLE};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: GET,
        path: "secrets/{store}/bulk",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(all(call)),
    },
    Route {
        methods: GET,
        path: "secrets/{store}/{*key}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(get(call)),
    },
];

async fn get(call: Call) -> Result {
    let (store, key) = (call.param("store"), call.param("key"));
    let read = secrets::get(call.blocks(), &call.ctx, store, key, &call.metadata()).await;
    let secret = read.map_err(|error| fault(&call, Some(key), &error))?;
    Ok(answer::json(&shown(&secret)))
}

async fn all(call: Call) -> Result {
    let read = secrets::all(call.blocks(), &call.ctx, call.param("store"), &call.metadata()).await;
    let all = read.map_err(|error| fault(&call, None, &error))?;
    let shown: BTreeMap<_, _> = all.iter().map(|(name, secret)| (name, shown(secret))).collect();
    Ok(answer::json(&shown))
}

fn shown(secret: &Secret) -> BTreeMap<&str, &str> {
    secret.iter().map(|(key, value)| (key.as_str(), value.expose().as_str())).collect()
}

fn fault(call: &Call, key: Option<&str>, error: &mainstay_core::Error) -> mainstay_dapr::Fault {
    let any = !call.blocks().table().secrets.is_empty();
    mainstay_dapr::secrets::fault(call.param("store"), key, any, error)
}
