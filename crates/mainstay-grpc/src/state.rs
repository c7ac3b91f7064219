//! State.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_blocks::state::{self, Concurrency, Item, Operation};
use mainstay_core::Error;
use mainstay_core::state::{Entry, Format};
use mainstay_dapr::state::Op;
use mainstay_dapr::{Fault, Grpc};
use mainstay_proto::common::v1::state_options::StateConcurrency;
use mainstay_proto::common::v1::{Etag, StateItem, StateOptions};
use mainstay_proto::runtime::v1 as wire;
use serde::de::IgnoredAny;
use tonic::Status;

use crate::call::{Call, Result};
use crate::status;

pub(crate) async fn get(call: &Call, asked: wire::GetStateRequest) -> Result<wire::GetStateResponse> {
    let found = state::get(call.blocks(), &call.ctx, &asked.store_name, &asked.key).await;
    let found = found.map_err(|error| failed(call, Op::Get(&asked.key), &asked.store_name, &error))?;
    Ok(found.map_or_else(Default::default, |entry| wire::GetStateResponse {
        metadata: metadata(&entry),
        data: entry.value,
        etag: entry.etag,
    }))
}

pub(crate) async fn get_bulk(
    call: &Call,
    asked: wire::GetBulkStateRequest,
) -> Result<wire::GetBulkStateResponse> {
    let parallel = usize::try_from(asked.parallelism).ok();
    let found = state::get_many(call.blocks(), &call.ctx, &asked.store_name, &asked.keys, parallel).await;
    let found = found.map_err(|error| failed(call, Op::GetBulk, &asked.store_name, &error))?;
    let items = asked.keys.into_iter().zip(found).map(|(key, found)| bulk_item(key, found)).collect();
    Ok(wire::GetBulkStateResponse { items })
}

fn bulk_item(key: String, found: mainstay_core::Result<Option<Entry>>) -> wire::BulkStateItem {
    let bare = wire::BulkStateItem { key, ..wire::BulkStateItem::default() };
    match found {
        Ok(Some(entry)) => {
            wire::BulkStateItem { metadata: metadata(&entry), data: entry.value, etag: entry.etag, ..bare }
        }
        Ok(None) => bare,
        Err(error) => wire::BulkStateItem { error: error.message().to_owned(), ..bare },
    }
}

/// What is said of a value besides.
fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let end = entry.expires_at_ms.map(|end| ("ttlExpireTime".to_owned(), mainstay_dapr::time(end)));
    end.into_iter().collect()
}

pub(crate) async fn save(call: &Call, asked: wire::SaveStateRequest) -> Result<()> {
    let store = &asked.store_name;
    state::is_there(call.blocks(), store).map_err(|error| failed(call, Op::Save, store, &error))?;
    if asked.states.iter().any(|item| item.key.is_empty()) {
        let message = "state key cannot be empty";
        let fault = Fault::new(400, Grpc::InvalidArgument, "ERR_STATE_SAVE", message);
        return Err(status::with_reason(&fault));
    }
    let items = asked.states.into_iter().map(|item| {
        let (item, value) = split(item);
        let format = format(&item, &value)?;
        Ok((item, value, format))
    });
    let saved = state::save(call.blocks(), &call.ctx, &asked.store_name, items.collect::<Result<_>>()?).await;
    saved.map_err(|error| failed(call, Op::Save, &asked.store_name, &error))
}

pub(crate) async fn delete(call: &Call, asked: wire::DeleteStateRequest) -> Result<()> {
    let wire::DeleteStateRequest { store_name: store, key, etag, options, metadata } = asked;
    let item = item(key.clone(), etag, options, metadata);
    let deleted = state::delete(call.blocks(), &call.ctx, &store, vec![item]).await;
    deleted.map_err(|error| failed(call, Op::Delete(&key), &store, &error))
}

pub(crate) async fn delete_bulk(call: &Call, asked: wire::DeleteBulkStateRequest) -> Result<()> {
    let items = asked.states.into_iter().map(|item| split(item).0).collect();
    let deleted = state::delete(call.blocks(), &call.ctx, &asked.store_name, items).await;
    deleted.map_err(|error| failed(call, Op::DeleteBulk, &asked.store_name, &error))
}

pub(crate) async fn transact(call: &Call, asked: wire::ExecuteStateTransactionRequest) -> Result<()> {
    let can = state::can_transact(call.blocks(), &asked.store_name);
    can.map_err(|error| failed(call, Op::Transaction, &asked.store_name, &error))?;
    let operations = asked.operations.into_iter().map(operation).collect::<Result<_>>()?;
    let done = state::transact(call.blocks(), &call.ctx, &asked.store_name, operations).await;
    done.map_err(|error| failed(call, Op::Transaction, &asked.store_name, &error))
}

fn operation(asked: wire::TransactionalStateOperation) -> Result<Operation> {
    // Without a request it has no key either, which the block refuses.
    let (item, value) = split(asked.request.unwrap_or_default());
    match asked.operation_type.as_str() {
        "upsert" => {
            let format = format(&item, &value)?;
            Ok(Operation::Upsert(item, value, format))
        }
        "delete" => Ok(Operation::Delete(item)),
        other => Err(status::with_reason(&mainstay_dapr::state::unknown_operation(other))),
    }
}

pub(crate) async fn query(call: &Call, asked: wire::QueryStateRequest) -> Result<wire::QueryStateResponse> {
    let store = asked.store_name;
    state::can_query(call.blocks(), &store).map_err(|error| failed(call, Op::Query, &store, &error))?;
    let query = mainstay_dapr::query::parse(asked.query.as_bytes())
        .map_err(|why| status::of(&mainstay_dapr::state::query_failed(&store, &why)))?;
    let found = state::query(call.blocks(), &call.ctx, &store, query).await;
    let page = found.map_err(|error| failed(call, Op::Query, &store, &error))?;
    let item = |(key, entry): (String, Entry)| wire::QueryStateItem {
        key,
        data: entry.value,
        etag: entry.etag,
        error: String::new(),
    };
    Ok(wire::QueryStateResponse {
        results: page.entries.into_iter().map(item).collect(),
        token: page.token.unwrap_or_default(),
        metadata: BTreeMap::new(),
    })
}

/// An item of the wire as the block has it, and its value.
fn split(wire: StateItem) -> (Item, Bytes) {
    let StateItem { key, value, etag, metadata, options } = wire;
    (item(key, etag, options, metadata), value)
}

fn item(
    key: String,
    etag: Option<Etag>,
    options: Option<StateOptions>,
    metadata: BTreeMap<String, String>,
) -> Item {
    let concurrency = match options.unwrap_or_default().concurrency() {
        StateConcurrency::ConcurrencyUnspecified => Concurrency::Unspecified,
        StateConcurrency::ConcurrencyFirstWrite => Concurrency::FirstWrite,
        StateConcurrency::ConcurrencyLastWrite => Concurrency::LastWrite,
    };
    Item { key, etag: etag.map(|etag| etag.value), concurrency, metadata }
}

/// What a value is: bytes, unless the caller says that it is JSON. Errors: INVALID_ARGUMENT for JSON that is none.
fn format(item: &Item, value: &[u8]) -> Result<Format> {
    if item.metadata.get("contentType").is_none_or(|kind| kind != "application/json") {
        return Ok(Format::Bytes);
    }
    match serde_json::from_slice::<IgnoredAny>(value) {
        Ok(_) => Ok(Format::Json),
        Err(error) => {
            let message = format!("the value of {} is no JSON: {error}", item.key);
            Err(status::with_reason(&Fault::malformed(&message)))
        }
    }
}

fn failed(call: &Call, op: Op<'_>, store: &str, error: &Error) -> Status {
    let any = !call.blocks().table().stores.is_empty();
    let fault = mainstay_dapr::state::fault(op, store, call.app(), any, error);
    status::log(&fault, error);
    status::with_reason(&fault)
}
