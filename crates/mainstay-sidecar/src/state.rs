//! State.

mod wire;

use http::header::{ETAG, HeaderValue, IF_MATCH};
use http::{Method, StatusCode};
use mainstay_blocks::state::{self, Item, Operation};
use mainstay_core::Error;
use mainstay_core::state::Format;
use mainstay_dapr::state::Op;
use mainstay_dapr::{Fault, Grpc};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::call::{Call, Result};
use crate::routes::{GET, Route, STABLE, WRITE};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: WRITE,
        path: "state/{store}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(save(call)),
    },
    Route {
        methods: GET,
        path: "state/{store}/{key}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(get(call)),
    },
    Route {
        methods: &[Method::DELETE],
        path: "state/{store}/{key}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(delete(call)),
    },
    // `bulk` and `transaction`; as keys they can be read and deleted.
    Route {
        methods: WRITE,
        path: "state/{store}/{key}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(several(call)),
    },
    Route {
        methods: WRITE,
        path: "state/{store}/query",
        versions: &["v1.0-alpha1"],
        open: false,
        handler: |call| Box::pin(query(call)),
    },
];

async fn get(call: Call) -> Result {
    let (store, key) = (call.param("store"), call.param("key"));
    let found = state::get(call.blocks(), &call.ctx, store, key).await;
    let Some(entry) = found.map_err(|error| fault(&call, Op::Get(key), &error))? else {
        return Ok(answer::empty());
    };
    let mut answer = answer::json_bytes(StatusCode::OK, entry.value);
    if let Ok(etag) = HeaderValue::from_str(&entry.etag) {
        answer.headers_mut().insert(ETAG, etag);
    }
    if let Some(end) = entry.expires_at_ms {
        answer::metadata(answer.headers_mut(), "ttlExpireTime", &mainstay_dapr::time(end));
    }
    Ok(answer)
}

async fn save(call: Call) -> Result {
    let store = call.param("store");
    state::is_there(call.blocks(), store).map_err(|error| fault(&call, Op::Save, &error))?;
    let items = call.json::<Option<Vec<wire::Item>>>()?.unwrap_or_default();
    for item in &items {
        item.check()?;
    }
    for item in &items {
        item.check_options().map_err(|why| mainstay_dapr::state::refused(Op::Save, store, &why))?;
    }
    let metadata = call.metadata();
    let items = items.into_iter().map(|item| item.into_save(&metadata)).collect();
    let saved = state::save(call.blocks(), &call.ctx, store, items).await;
    saved.map_err(|error| fault(&call, Op::Save, &error))?;
    Ok(answer::empty())
}

async fn delete(call: Call) -> Result {
    let key = call.param("key");
    state::is_there(call.blocks(), call.param("store"))
        .map_err(|error| fault(&call, Op::Delete(key), &error))?;
    let refused = |why: String| mainstay_dapr::state::refused(Op::Delete(key), call.param("store"), &why);
    let concurrency = wire::concurrency(call.query("concurrency").as_deref()).map_err(refused)?;
    wire::check_consistency(call.query("consistency").as_deref()).map_err(refused)?;
    let etag = call.header(IF_MATCH.as_str()).map(str::to_owned);
    let item = Item { key: key.to_owned(), etag, concurrency, metadata: call.metadata() };
    let deleted = state::delete(call.blocks(), &call.ctx, call.param("store"), vec![item]).await;
    deleted.map_err(|error| fault(&call, Op::Delete(key), &error))?;
    Ok(answer::empty())
}

async fn several(call: Call) -> Result {
    match call.param("key") {
        "bulk" => bulk(call).await,
        "transaction" => transact(call).await,
        _ => Err(Fault::new(
            405,
            Grpc::Unimplemented,
            "ERR_METHOD_NOT_FOUND",
            "a key is set by a POST to its store",
        )),
    }
}

async fn bulk(call: Call) -> Result {
    state::is_there(call.blocks(), call.param("store")).map_err(|error| fault(&call, Op::GetBulk, &error))?;
    let asked: wire::Bulk = call.json()?;
    let parallel = asked.parallelism.and_then(|count| usize::try_from(count).ok());
    let found = state::get_many(call.blocks(), &call.ctx, call.param("store"), &asked.keys, parallel).await;
    let found = found.map_err(|error| fault(&call, Op::GetBulk, &error))?;
    let items: Vec<Value> = asked.keys.iter().zip(found).map(|(key, found)| bulk_item(key, found)).collect();
    Ok(answer::json(&items))
}

fn bulk_item(key: &str, found: mainstay_core::Result<Option<mainstay_core::state::Entry>>) -> Value {
    match found {
        Ok(Some(entry)) => {
            let mut item = json!({"key": key, "data": data(&entry.value), "etag": entry.etag});
            if let Some(end) = entry.expires_at_ms {
                item["metadata"] = json!({"ttlExpireTime": mainstay_dapr::time(end)});
            }
            item
        }
        Ok(None) => json!({"key": key}),
        Err(error) => json!({"key": key, "error": error.message()}),
    }
}

/// A value within JSON: itself where it is JSON, text otherwise.
fn data(value: &[u8]) -> Value {
    serde_json::from_slice(value).unwrap_or_else(|_| String::from_utf8_lossy(value).into_owned().into())
}

async fn transact(call: Call) -> Result {
    let can = state::can_transact(call.blocks(), call.param("store"));
    can.map_err(|error| fault(&call, Op::Transaction, &error))?;
    let asked: wire::Transaction = call.json()?;
    // What stands beside the operations is the transaction's, and says nothing of a single one.
    let metadata = call.metadata();
    let mut operations = Vec::with_capacity(asked.operations.len());
    for operation in asked.operations {
        operations.push(match operation.operation.as_str() {
            "upsert" => {
                operation.request.check()?;
                let (item, value, format) = operation.request.into_save(&metadata);
                Operation::Upsert(item, value, format)
            }
            "delete" => {
                operation.request.check()?;
                Operation::Delete(operation.request.into_save(&metadata).0)
            }
            other => return Err(mainstay_dapr::state::unknown_operation(other)),
        });
    }
    let done = state::transact(call.blocks(), &call.ctx, call.param("store"), operations).await;
    done.map_err(|error| fault(&call, Op::Transaction, &error))?;
    Ok(answer::empty())
}

async fn query(call: Call) -> Result {
    let can = state::can_query(call.blocks(), call.param("store"));
    can.map_err(|error| fault(&call, Op::Query, &error))?;
    let query = mainstay_dapr::query::parse(&call.body)
        .map_err(|why| mainstay_dapr::state::query_failed(call.param("store"), &why))?;
    let found = state::query(call.blocks(), &call.ctx, call.param("store"), query).await;
    let page = found.map_err(|error| fault(&call, Op::Query, &error))?;
    if page.entries.is_empty() {
        return Ok(answer::empty());
    }
    let results: Vec<Value> = page
        .entries
        .iter()
        .map(|(key, entry)| json!({"key": key, "data": data(&entry.value), "etag": entry.etag}))
        .collect();
    let mut body = json!({"results": results});
    if let Some(token) = page.token {
        body["token"] = token.into();
    }
    Ok::<Answer, _>(answer::json(&body))
}

/// The bytes of a value as they stood in the request.
fn raw(value: Option<Box<RawValue>>) -> (bytes::Bytes, Format) {
    let text: Box<str> = value.map_or_else(|| "null".into(), Into::into);
    (String::from(text).into(), Format::Json)
}

fn fault(call: &Call, op: Op<'_>, error: &Error) -> Fault {
    let any = !call.blocks().table().stores.is_empty();
    mainstay_dapr::state::fault(op, call.param("store"), call.app(), any, error)
}
