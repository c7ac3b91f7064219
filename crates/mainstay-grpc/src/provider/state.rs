//! State.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::embedded::Embedded;
use mainstay_core::state::{Change, Entry, Format, Precondition, StateStore};
use mainstay_core::{Error, codes};
use mainstay_proto::components::v1 as wire;
use serde::de::IgnoredAny;
use tonic::{Request, Response, Status};
use wire::state_options::StateConcurrency;
use wire::transactional_state_operation::Request as Asked;

use super::{open, refused};

type Result<T> = std::result::Result<Response<T>, Status>;

/// The state stores, by instance.
#[derive(Clone)]
pub(super) struct States(Arc<dyn Embedded>);

impl States {
    pub(super) fn new(embedded: Arc<dyn Embedded>) -> Self {
        Self(embedded)
    }

    /// The store of an instance. The first of them reads the log of all.
    async fn store(&self, instance: String) -> std::result::Result<Arc<dyn StateStore>, Status> {
        let embedded = Arc::clone(&self.0);
        let opened = tokio::task::spawn_blocking(move || embedded.state_store(&instance)).await;
        opened.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| refused(&error))
    }
}

#[tonic::async_trait]
impl wire::state_store_server::StateStore for States {
    async fn init(&self, request: Request<wire::InitRequest>) -> Result<wire::InitResponse> {
        let (_, instance, _) = open(request);
        self.store(instance).await?;
        Ok(Response::new(wire::InitResponse {}))
    }

    async fn features(&self, _: Request<wire::FeaturesRequest>) -> Result<wire::FeaturesResponse> {
        let features = ["ETAG", "TRANSACTIONAL", "TTL"].map(str::to_owned).to_vec();
        Ok(Response::new(wire::FeaturesResponse { features }))
    }

    async fn get(&self, request: Request<wire::GetRequest>) -> Result<wire::GetResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        let found = store.get(&ctx, &asked.key).await.map_err(|error| refused(&error))?;
        Ok(Response::new(found.map_or_else(Default::default, |entry| wire::GetResponse {
            metadata: metadata(&entry),
            data: entry.value,
            etag: Some(wire::Etag { value: entry.etag }),
            content_type: String::new(),
        })))
    }

    async fn set(&self, request: Request<wire::SetRequest>) -> Result<wire::SetResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        store.apply(&ctx, set(asked)?).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::SetResponse {}))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Result<wire::DeleteResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        store.apply(&ctx, delete(asked)?).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::DeleteResponse {}))
    }

    async fn bulk_get(&self, request: Request<wire::BulkGetRequest>) -> Result<wire::BulkGetResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        let keys: Vec<String> = asked.items.into_iter().map(|item| item.key).collect();
        let found = store.get_many(&ctx, &keys).await;
        let item = |(key, found): (String, mainstay_core::Result<Option<Entry>>)| {
            let bare = wire::BulkStateItem { key, ..wire::BulkStateItem::default() };
            match found {
                Ok(Some(entry)) => wire::BulkStateItem {
                    metadata: metadata(&entry),
                    data: entry.value,
                    etag: Some(wire::Etag { value: entry.etag }),
                    ..bare
                },
                Ok(None) => bare,
                Err(error) => wire::BulkStateItem { error: error.message().to_owned(), ..bare },
            }
        };
        let items = keys.into_iter().zip(found).map(item).collect();
        Ok(Response::new(wire::BulkGetResponse { items }))
    }

    async fn bulk_set(&self, request: Request<wire::BulkSetRequest>) -> Result<wire::BulkSetResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        let changes = asked.items.into_iter().map(set).collect::<std::result::Result<Vec<_>, _>>()?;
        let done = store.apply_each(&ctx, changes).await;
        done.into_iter().collect::<mainstay_core::Result<()>>().map_err(|error| refused(&error))?;
        Ok(Response::new(wire::BulkSetResponse {}))
    }

    async fn bulk_delete(
        &self,
        request: Request<wire::BulkDeleteRequest>,
    ) -> Result<wire::BulkDeleteResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        let changes = asked.items.into_iter().map(delete).collect::<std::result::Result<Vec<_>, _>>()?;
        let done = store.apply_each(&ctx, changes).await;
        done.into_iter().collect::<mainstay_core::Result<()>>().map_err(|error| refused(&error))?;
        Ok(Response::new(wire::BulkDeleteResponse {}))
    }

    async fn ping(&self, request: Request<wire::PingRequest>) -> Result<wire::PingResponse> {
        let (ctx, instance, _) = open(request);
        self.store(instance).await?.ready(&ctx).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::PingResponse {}))
    }
}

#[tonic::async_trait]
impl wire::transactional_state_store_server::TransactionalStateStore for States {
    async fn transact(
        &self,
        request: Request<wire::TransactionalStateRequest>,
    ) -> Result<wire::TransactionalStateResponse> {
        let (ctx, instance, asked) = open(request);
        let store = self.store(instance).await?;
        let change = |operation: wire::TransactionalStateOperation| match operation.request {
            Some(Asked::Set(asked)) => set(asked),
            Some(Asked::Delete(asked)) => delete(asked),
            None => Err(Status::invalid_argument("an operation is neither a set nor a delete")),
        };
        let changes = asked.operations.into_iter().map(change).collect::<std::result::Result<Vec<_>, _>>()?;
        store.transact(&ctx, changes).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::TransactionalStateResponse {}))
    }
}

#[tonic::async_trait]
impl wire::transactional_store_multi_max_size_server::TransactionalStoreMultiMaxSize for States {
    async fn multi_max_size(
        &self,
        request: Request<wire::MultiMaxSizeRequest>,
    ) -> Result<wire::MultiMaxSizeResponse> {
        let (_, instance, _) = open(request);
        let most = self.store(instance).await?.capabilities().transaction_changes_max;
        let max_size = most.map_or(0, |most| i64::try_from(most).unwrap_or(i64::MAX));
        Ok(Response::new(wire::MultiMaxSizeResponse { max_size }))
    }
}

fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let end = entry.expires_at_ms.map(|end| ("ttlExpireTime".to_owned(), mainstay_dapr::time(end)));
    end.into_iter().collect()
}

fn set(asked: wire::SetRequest) -> std::result::Result<Change, Status> {
    let wire::SetRequest { key, value, etag, metadata, options, content_type } = asked;
    let is_json = content_type == "application/json" && serde_json::from_slice::<IgnoredAny>(&value).is_ok();
    Ok(Change::Set {
        key: named(key)?,
        value,
        format: if is_json { Format::Json } else { Format::Bytes },
        precondition: precondition(etag, options, true),
        ttl: ttl(&metadata)?,
    })
}

fn delete(asked: wire::DeleteRequest) -> std::result::Result<Change, Status> {
    Ok(Change::Delete {
        key: named(asked.key)?,
        precondition: precondition(asked.etag, asked.options, false),
    })
}

fn named(key: String) -> std::result::Result<String, Status> {
    if key.is_empty() { Err(Status::invalid_argument("the key is empty")) } else { Ok(key) }
}

fn precondition(etag: Option<wire::Etag>, options: Option<wire::StateOptions>, is_set: bool) -> Precondition {
    let etag = etag.map(|etag| etag.value).filter(|etag| !etag.is_empty());
    match (options.unwrap_or_default().concurrency(), etag) {
        (StateConcurrency::ConcurrencyLastWrite, _) => Precondition::None,
        (_, Some(etag)) => Precondition::Etag(etag),
        (StateConcurrency::ConcurrencyFirstWrite, None) if is_set => Precondition::Absent,
        _ => Precondition::None,
    }
}

fn ttl(metadata: &BTreeMap<String, String>) -> std::result::Result<Option<Duration>, Status> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds.unsigned_abs()))),
        Ok(0 | -1) => Ok(None),
        _ => {
            let error = Error::new(&codes::INVALID_FIELD, "`ttlInSeconds` must be a whole number, or -1");
            Err(refused(&error))
        }
    }
}
