//! Secrets. The one place of this surface where they leave their wrapper.

use std::collections::BTreeMap;

use mainstay_blocks::secrets;
use mainstay_core::Error;
use mainstay_core::secret_store::Secret;
use mainstay_proto::runtime::v1 as wire;
use tonic::Status;

use crate::call::{self, Call, Result};

pub(crate) async fn get(call: &Call, asked: wire::GetSecretRequest) -> Result<wire::GetSecretResponse> {
    let (store, key) = (&asked.store_name, &asked.key);
    let found = secrets::get(call.blocks(), &call.ctx, store, key, &asked.metadata).await;
    let secret = found.map_err(|error| failed(call, store, Some(key), &error))?;
    Ok(wire::GetSecretResponse { data: exposed(&secret) })
}

pub(crate) async fn get_bulk(
    call: &Call,
    asked: wire::GetBulkSecretRequest,
) -> Result<wire::GetBulkSecretResponse> {
    let found = secrets::all(call.blocks(), &call.ctx, &asked.store_name, &asked.metadata).await;
    let secrets = found.map_err(|error| failed(call, &asked.store_name, None, &error))?;
    let secrets = secrets.into_iter().map(|(name, secret)| {
        let secrets = exposed(&secret);
        (name, wire::SecretResponse { secrets })
    });
    Ok(wire::GetBulkSecretResponse { data: secrets.collect() })
}

fn exposed(secret: &Secret) -> BTreeMap<String, String> {
    secret.iter().map(|(key, value)| (key.clone(), value.expose().clone())).collect()
}

fn failed(call: &Call, store: &str, key: Option<&str>, error: &Error) -> Status {
    let any = !call.blocks().table().secrets.is_empty();
    call::failed(&mainstay_dapr::secrets::fault(store, key, any, error), error)
}
