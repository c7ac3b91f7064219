//! Operations of bindings.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use mainstay_blocks::bindings;
use mainstay_core::binding::Operation;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer;
use crate::call::{Call, Result, or_default};
use crate::routes::{Route, STABLE, WRITE};

pub(crate) const ROUTES: &[Route] = &[Route {
    methods: WRITE,
    path: "bindings/{*name}",
    versions: STABLE,
    open: false,
    handler: |call| Box::pin(invoke(call)),
}];

#[derive(Deserialize)]
struct Asked {
    #[serde(default, deserialize_with = "or_default")]
    operation: String,
    data: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, String>,
}

async fn invoke(call: Call) -> Result {
    let Asked { operation, data, mut metadata } = call.json()?;
    let headers = call.parts.headers.get_all("baggage").into_iter().filter_map(|value| value.to_str().ok());
    if let Some(baggage) = mainstay_dapr::bindings::baggage(headers)? {
        metadata.insert("baggage".to_owned(), baggage);
    }
    // Data is JSON here, and goes out as its text: a string in its quotes, nothing as `null`.
    let data = data.map_or(Bytes::from_static(b"null"), |raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    let name = call.param("name");
    let operation = Operation { name: operation, data, metadata };
    let done = bindings::invoke(call.blocks(), &call.ctx, name, operation).await;
    let Some(outcome) = done.map_err(|error| mainstay_dapr::bindings::fault(name, &error))? else {
        return Ok(answer::empty());
    };
    let mut answer = answer::json_bytes(StatusCode::OK, outcome.data);
    for (name, value) in &outcome.metadata {
        answer::metadata(answer.headers_mut(), name, value);
    }
    Ok(answer)
}
