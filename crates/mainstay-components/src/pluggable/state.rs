//! State in a pluggable component. What it can do it says itself; queries are not asked of it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::state::{Capabilities, Change, Entry, Format, Precondition, StateStore};
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_proto::components::v1 as wire;
use mainstay_proto::rpc;
use prost::Message as _;
use tonic::{Code, Status};
use wire::state_options::{StateConcurrency, StateConsistency};
use wire::state_store_client::StateStoreClient;
use wire::transactional_state_operation::Request as Asked;
use wire::transactional_state_store_client::TransactionalStateStoreClient;
use wire::transactional_store_multi_max_size_client::TransactionalStoreMultiMaxSizeClient;

use super::socket::{Instanced, MESSAGE_BYTES_MAX, Socket, request};
use super::{BOUNDED, Plugged, TRANSACTIONAL, metadata};
use crate::clients::within;

/// A store.
pub(super) struct Store {
    calls: Instanced,
    transaction_changes_max: Option<usize>,
}

/// Changes at once, where the component names no bound.
const CHANGES_MAX: usize = 10_000;

impl Store {
    /// Initialises the instance. Errors: `STORE_UNAVAILABLE`.
    pub(super) async fn open(
        socket: Socket,
        plugged: &Plugged,
        properties: BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut store = Self { calls: socket.calls(), transaction_changes_max: None };
        let init = wire::InitRequest { metadata: metadata(properties) };
        store.client().init(init).await.map_err(|status| failed(&status))?;
        let features = store.client().features(wire::FeaturesRequest {}).await;
        let features = features.map_err(|status| failed(&status))?.into_inner().features;
        let can = features.iter().any(|feature| feature == "TRANSACTIONAL");
        if can && plugged.serves(TRANSACTIONAL) {
            store.transaction_changes_max = Some(store.bound(plugged).await);
        }
        Ok(store)
    }

    async fn bound(&self, plugged: &Plugged) -> usize {
        if !plugged.serves(BOUNDED) {
            return CHANGES_MAX;
        }
        let mut client = TransactionalStoreMultiMaxSizeClient::new(self.calls.clone());
        let bound = client.multi_max_size(wire::MultiMaxSizeRequest {}).await;
        let bound = bound.ok().and_then(|bound| usize::try_from(bound.into_inner().max_size).ok());
        bound.filter(|most| *most > 0).unwrap_or(CHANGES_MAX)
    }

    fn client(&self) -> StateStoreClient<Instanced> {
        StateStoreClient::new(self.calls.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn change(&self, ctx: &Ctx, change: Change) -> std::result::Result<(), Status> {
        match change {
            Change::Set { .. } => self.client().set(request(ctx, set(change))).await.map(|_| ()),
            Change::Delete { .. } => self.client().delete(request(ctx, delete(change))).await.map(|_| ()),
        }
    }
}

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        let transaction_changes_max = self.transaction_changes_max;
        Capabilities {
            transaction_changes_max,
            scan: false,
            scan_reserved: false,
            query: false,
            durable: true,
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let pong = self.client().ping(request(ctx, wire::PingRequest {})).await;
            pong.map(|_| ()).map_err(|status| failed(&status))
        })
        .await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        let asked = wire::GetRequest {
            key: key.to_owned(),
            metadata: BTreeMap::new(),
            consistency: StateConsistency::ConsistencyStrong.into(),
        };
        within(ctx, async {
            let found = self.client().get(request(ctx, asked)).await.map_err(|status| failed(&status))?;
            let wire::GetResponse { data, etag, metadata, .. } = found.into_inner();
            Ok(entry(data, etag, &metadata))
        })
        .await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        within(ctx, async { self.change(ctx, change).await.map_err(|status| failed(&status)) }).await
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        let item = |key: &String| wire::GetRequest { key: key.clone(), ..wire::GetRequest::default() };
        let options = Some(wire::BulkGetRequestOptions { parallelism: 10 });
        let asked = wire::BulkGetRequest { items: keys.iter().map(item).collect(), options };
        let mut client = self.client();
        let found = within(ctx, async { Ok(client.bulk_get(request(ctx, asked)).await) }).await;
        match found {
            Ok(Ok(found)) => in_order(keys, found.into_inner().items),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                let mut found = Vec::with_capacity(keys.len());
                for key in keys {
                    found.push(self.get(ctx, key).await);
                }
                found
            }
            Ok(Err(status)) => keys.iter().map(|_| Err(failed(&status))).collect(),
            Err(error) => keys.iter().map(|_| Err(Error::new(error.code(), error.message()))).collect(),
        }
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        let Some(most) = self.transaction_changes_max else {
            let message = "make several changes at once: this pluggable component cannot";
            return Err(Error::new(&codes::UNSUPPORTED, message));
        };
        if changes.len() > most {
            let message = format!("make {} changes at once: the store takes {most}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        let operation = |change: Change| wire::TransactionalStateOperation {
            request: Some(match change {
                Change::Set { .. } => Asked::Set(set(change)),
                Change::Delete { .. } => Asked::Delete(delete(change)),
            }),
        };
        let operations = changes.into_iter().map(operation).collect();
        let asked = wire::TransactionalStateRequest { operations, metadata: BTreeMap::new() };
        let mut client = TransactionalStateStoreClient::new(self.calls.clone())
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        within(ctx, async {
            let done = client.transact(request(ctx, asked)).await;
            done.map(|_| ()).map_err(|status| failed(&status))
        })
        .await
    }
}

/// What was found, in the order of the keys, whatever order it came in.
fn in_order(keys: &[String], items: Vec<wire::BulkStateItem>) -> Vec<Result<Option<Entry>>> {
    let items: BTreeMap<String, wire::BulkStateItem> =
        items.into_iter().map(|item| (item.key.clone(), item)).collect();
    let found = |key: &String| match items.get(key) {
        None => Ok(None),
        Some(item) if !item.error.is_empty() => {
            Err(Error::new(&codes::STORE_UNAVAILABLE, "call the pluggable component: it failed at this key")
                .with_internal(item.error.clone()))
        }
        Some(item) => Ok(entry(item.data.clone(), item.etag.clone(), &item.metadata)),
    };
    keys.iter().map(found).collect()
}

/// What is under a key: nothing where there is neither a value nor a version.
fn entry(data: bytes::Bytes, etag: Option<wire::Etag>, metadata: &BTreeMap<String, String>) -> Option<Entry> {
    let etag = etag.map(|etag| etag.value).filter(|etag| !etag.is_empty());
    if data.is_empty() && etag.is_none() {
        return None;
    }
    let end = metadata.get("ttlExpireTime").and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let expires_at_ms = end.and_then(|end| u64::try_from(end.as_millisecond()).ok());
    Some(Entry { value: data, etag: etag.unwrap_or_else(|| "0".to_owned()), expires_at_ms })
}

fn set(change: Change) -> wire::SetRequest {
    let Change::Set { key, value, format, precondition, ttl } = change else {
        return wire::SetRequest::default();
    };
    let seconds = |ttl: Duration| ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let ttl = ttl.map(|ttl| ("ttlInSeconds".to_owned(), seconds(ttl).to_string()));
    let (etag, options) = conditions(precondition);
    let content_type = if format == Format::Json { "application/json" } else { "" };
    wire::SetRequest {
        key,
        value,
        etag,
        metadata: ttl.into_iter().collect(),
        options,
        content_type: content_type.to_owned(),
    }
}

fn delete(change: Change) -> wire::DeleteRequest {
    let Change::Delete { key, precondition } = change else { return wire::DeleteRequest::default() };
    let (etag, options) = conditions(precondition);
    wire::DeleteRequest { key, etag, metadata: BTreeMap::new(), options }
}

fn conditions(precondition: Precondition) -> (Option<wire::Etag>, Option<wire::StateOptions>) {
    let (etag, concurrency) = match precondition {
        Precondition::None => (None, StateConcurrency::ConcurrencyLastWrite),
        Precondition::Absent => (None, StateConcurrency::ConcurrencyFirstWrite),
        Precondition::Etag(value) => (Some(wire::Etag { value }), StateConcurrency::ConcurrencyFirstWrite),
    };
    let consistency = StateConsistency::ConsistencyStrong.into();
    (etag, Some(wire::StateOptions { concurrency: concurrency.into(), consistency }))
}

/// What a status means to the port: a violation of the field `etag` is an etag's.
fn failed(status: &Status) -> Error {
    match (status.code(), violated(status)) {
        (Code::FailedPrecondition, true) => {
            Error::new(&codes::ETAG_MISMATCH, "change the key: it was changed meanwhile")
        }
        (Code::InvalidArgument, true) => {
            Error::new(&codes::ETAG_INVALID, "change the key: its etag is none of this store's")
        }
        _ => super::failed(status, &codes::STORE_UNAVAILABLE),
    }
}

fn violated(status: &Status) -> bool {
    let details = rpc::Status::decode(status.details()).map(|said| said.details).unwrap_or_default();
    details.iter().any(|any| {
        any.type_url.ends_with("google.rpc.BadRequest")
            && rpc::BadRequest::decode(&*any.value)
                .is_ok_and(|bad| bad.field_violations.iter().any(|violation| violation.field == "etag"))
    })
}
