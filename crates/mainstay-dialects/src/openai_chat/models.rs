//! Lists of models, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::provider::ModelCard;
use serde_json::{Value, json};

use crate::codec::ModelPage;
use crate::failure;

/// Writes a list; see [`crate::Codec::encode_models`].
pub fn encode_models(models: &[ModelCard], created_s: u64) -> Bytes {
    let card = |model: &ModelCard| json!({"id": model.id, "object": "model", "created": created_s, "owned_by": "mainstay"});
    let data: Vec<Value> = models.iter().map(card).collect();
    Bytes::from(json!({"object": "list", "data": data}).to_string())
}

/// Reads a list; see [`crate::Codec::decode_models`].
pub fn decode_models(body: &[u8]) -> Result<ModelPage> {
    let wire: Value = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    let data =
        wire["data"].as_array().ok_or_else(|| failure::bad_response("its list of models is missing"))?;
    let models = data.iter().filter_map(|m| Some(ModelCard { id: m["id"].as_str()?.to_owned() })).collect();
    Ok(ModelPage { models, next: None })
}
