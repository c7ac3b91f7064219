//! Secrets of a pluggable component.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Error, Redacted, Result, codes};
use mainstay_proto::components::v1 as wire;
use tonic::{Code, Status};
use wire::secret_store_client::SecretStoreClient;

use super::metadata;
use super::socket::{Instanced, MESSAGE_BYTES_MAX, Socket, request};
use crate::clients::within;

/// A secret store.
pub(super) struct Store(Instanced);

/// What a status means to the port. What it says is for the log alone: it could repeat a secret.
fn failed(status: &Status) -> Error {
    let code = match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => &codes::DEADLINE_EXCEEDED,
        _ => &codes::SECRET_UNAVAILABLE,
    };
    Error::new(code, "ask the pluggable component: it gave no secret")
        .with_internal(format!("{:?}", status.code()))
}

impl Store {
    /// Initialises the instance. Errors: `SECRET_UNAVAILABLE`.
    pub(super) async fn open(socket: Socket, properties: BTreeMap<String, String>) -> Result<Self> {
        let store = Self(socket.calls());
        let init = wire::SecretStoreInitRequest { metadata: metadata(properties) };
        store.client().init(init).await.map_err(|status| failed(&status))?;
        Ok(store)
    }

    fn client(&self) -> SecretStoreClient<Instanced> {
        SecretStoreClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

fn secret(values: BTreeMap<String, String>) -> Secret {
    values.into_iter().map(|(key, value)| (key, Redacted::new(value))).collect()
}

#[async_trait]
impl SecretStore for Store {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let pong = self.client().ping(request(ctx, wire::PingRequest {})).await;
            pong.map(|_| ()).map_err(|status| failed(&status))
        })
        .await
    }

    async fn get(&self, ctx: &Ctx, name: &str, metadata: &BTreeMap<String, String>) -> Result<Secret> {
        let asked = wire::GetSecretRequest { key: name.to_owned(), metadata: metadata.clone() };
        within(ctx, async {
            match self.client().get(request(ctx, asked)).await {
                Ok(found) => Ok(secret(found.into_inner().data)),
                Err(status) if status.code() == Code::NotFound => Ok(Secret::new()),
                Err(status) => Err(failed(&status)),
            }
        })
        .await
    }

    async fn all(&self, ctx: &Ctx, metadata: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
        let asked = wire::BulkGetSecretRequest { metadata: metadata.clone() };
        within(ctx, async {
            let found =
                self.client().bulk_get(request(ctx, asked)).await.map_err(|status| failed(&status))?;
            let all = found.into_inner().data.into_iter();
            Ok(all.map(|(name, values)| (name, secret(values.secrets))).collect())
        })
        .await
    }
}
