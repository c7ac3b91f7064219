//! Publishing.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use mainstay_blocks::pubsub::{self, CLOUD_EVENTS, Publication};
use mainstay_dapr::Fault;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::answer;
use crate::call::{Call, Result, or_default};
use crate::routes::{Route, STABLE, WRITE};

const BULK: &[&str] = &["v1.0", "v1.0-alpha1"];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: WRITE,
        path: "publish/{pubsub}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(publish(call)),
    },
    Route {
        methods: WRITE,
        path: "publish/{pubsub}/{*topic}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(publish(call)),
    },
    Route {
        methods: WRITE,
        path: "publish/bulk/{pubsub}/{*topic}",
        versions: BULK,
        open: false,
        handler: |call| Box::pin(publish_bulk(call)),
    },
];

async fn publish(call: Call) -> Result {
    let publication = Publication {
        data: call.body.clone(),
        content_type: call.header(CONTENT_TYPE.as_str()).map(str::to_owned),
        metadata: call.metadata(),
    };
    let (name, topic) = (call.param("pubsub"), call.param("topic"));
    let published = pubsub::publish(call.blocks(), &call.ctx, name, topic, publication).await;
    published.map_err(|error| fault(&call, &error))?;
    Ok(answer::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// The SDK for JavaScript writes its name in other letters, which the protocol's own runtime takes too.
    #[serde(default, alias = "entryID", deserialize_with = "or_default")]
    entry_id: String,
    event: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "or_default")]
    content_type: String,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, String>,
}

async fn publish_bulk(call: Call) -> Result {
    let (name, topic) = (call.param("pubsub"), call.param("topic"));
    pubsub::may_publish(call.blocks(), name, topic, &call.metadata())
        .map_err(|error| fault(&call, &error))?;
    let entries: Vec<Entry> = serde_json::from_slice(&call.body)
        .map_err(|error| mainstay_dapr::pubsub::unreadable(name, topic, call.app(), &error.to_string()))?;
    let mut ids = BTreeSet::new();
    if !entries.iter().all(|entry| !entry.entry_id.is_empty() && ids.insert(entry.entry_id.as_str())) {
        return Err(mainstay_dapr::pubsub::ambiguous(name, topic, call.app()));
    }
    let ids: Vec<String> = entries.iter().map(|entry| entry.entry_id.clone()).collect();
    let shared = call.metadata();
    let mut publications = Vec::with_capacity(entries.len());
    for entry in entries {
        let unfit = |why| mainstay_dapr::pubsub::unfit(name, topic, call.app(), why);
        let data = content(&entry).map_err(unfit)?;
        // Other than with state, what an entry says of itself holds.
        let mut metadata = shared.clone();
        metadata.extend(entry.metadata);
        let content_type = Some(entry.content_type).filter(|text| !text.is_empty());
        publications.push(Publication { data, content_type, metadata });
    }
    let done = pubsub::publish_each(call.blocks(), &call.ctx, name, topic, publications).await;
    let done = done.map_err(|error| fault(&call, &error))?;
    let failed: Vec<_> = ids
        .iter()
        .zip(&done)
        .filter_map(|(id, done)| Some(json!({"entryId": id, "error": done.as_ref().err()?.message()})))
        .collect();
    if failed.is_empty() {
        return Ok(answer::empty());
    }
    let body = json!({"failedEntries": failed, "errorCode": "ERR_PUBSUB_PUBLISH_MESSAGE"}).to_string();
    let first = done.iter().find_map(|done| done.as_ref().err()).map(|error| fault(&call, error).message);
    let mut answer = answer::json_bytes(StatusCode::INTERNAL_SERVER_ERROR, body.clone());
    answer::metadata(answer.headers_mut(), "error", &first.unwrap_or_default());
    answer::metadata(answer.headers_mut(), "responseData", &body);
    Ok(answer)
}

/// The bytes of an event, as its content type says they stand in JSON.
fn content(entry: &Entry) -> std::result::Result<Bytes, &'static str> {
    let raw = entry.event.as_deref().map_or("null", RawValue::get);
    let kind = entry.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind == CLOUD_EVENTS || kind.ends_with("+json") {
        return Ok(Bytes::copy_from_slice(raw.as_bytes()));
    }
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        // Without a type, JSON that is no text is JSON.
        let is_json = kind.is_empty();
        let fault = "an event is no text, as its content type demands";
        return is_json.then(|| Bytes::copy_from_slice(raw.as_bytes())).ok_or(fault);
    };
    if kind == "application/octet-stream" {
        let bytes = STANDARD.decode(text).map_err(|_| "an event of bytes is not in base64")?;
        return Ok(bytes.into());
    }
    Ok(text.into())
}

fn fault(call: &Call, error: &mainstay_core::Error) -> Fault {
    mainstay_dapr::pubsub::fault(call.param("pubsub"), call.param("topic"), call.app(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_entry_is_read_as_each_sdk_writes_it() {
        let body = r#"[{"entryId":"1","event":"a"},{"entryID":"2","event":"b"},{"event":"c"}]"#;
        let entries: Vec<Entry> = serde_json::from_str(body).unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| entry.entry_id.as_str()).collect();
        assert_eq!(ids, ["1", "2", ""]);
    }
}
