//! Lists of models, both ways.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::provider::ModelCard;
use serde_json::{Value, json};

use crate::codec::ModelPage;
use crate::failure;

/// Writes a list; see [`crate::Codec::encode_models`]. The dialect shows no time of creation.
pub fn encode_models(models: &[ModelCard], _created_s: u64) -> Bytes {
    let card = |model: &ModelCard| {
        json!({
            "name": format!("models/{}", model.id),
            "displayName": model.id,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
        })
    };
    let models: Vec<Value> = models.iter().map(card).collect();
    Bytes::from(json!({"models": models}).to_string())
}

/// Reads a page of a list: the models that generate content; see [`crate::Codec::decode_models`].
pub fn decode_models(body: &[u8]) -> Result<ModelPage> {
    let wire: Value = serde_json::from_slice(body).map_err(|e| failure::bad_json(&e))?;
    let list =
        wire["models"].as_array().ok_or_else(|| failure::bad_response("its list of models is missing"))?;
    let generates = |model: &&Value| {
        let methods = model["supportedGenerationMethods"].as_array();
        methods.is_none_or(|methods| methods.iter().any(|m| m == "generateContent"))
    };
    let card = |model: &Value| {
        let name = model["name"].as_str()?;
        Some(ModelCard { id: name.trim_start_matches("models/").to_owned() })
    };
    let models = list.iter().filter(generates).filter_map(card).collect();
    let next = wire["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
    Ok(ModelPage { models, next })
}
