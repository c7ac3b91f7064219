//! Lists of models, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::clock::rfc3339;
use mainstay_core::provider::ModelCard;
use serde_json::{Value, json};

use crate::codec::ModelPage;
use crate::failure;

/// Writes a list; see [`crate::Codec::encode_models`].
pub fn encode_models(models: &[ModelCard], created_s: u64) -> Bytes {
    let created = rfc3339(created_s.saturating_mul(1000));
    let card = |model: &ModelCard| json!({"type": "model", "id": model.id, "display_name": model.id, "created_at": created});
    let data: Vec<Value> = models.iter().map(card).collect();
    let (first, last) = (models.first().map(|m| &m.id), models.last().map(|m| &m.id));
    Bytes::from(json!({"data": data, "has_more": false, "first_id": first, "last_id": last}).to_string())
}

/// Reads a page of a list; see [`crate::Codec::decode_models`].
pub fn decode_models(body: &[u8]) -> Result<ModelPage> {
    let wire: Value = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    let data =
        wire["data"].as_array().ok_or_else(|| failure::bad_response("its list of models is missing"))?;
    let models = data.iter().filter_map(|m| Some(ModelCard { id: m["id"].as_str()?.to_owned() })).collect();
    let next = wire["last_id"].as_str().filter(|_| wire["has_more"] == true).map(str::to_owned);
    Ok(ModelPage { models, next })
}
