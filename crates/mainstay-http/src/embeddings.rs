//! The OpenAI front's embeddings. A model of any provider that has embeddings can be asked: there is one form.

use http::{Method, StatusCode};
use mainstay_core::embedding::{EmbedRequest, Embedder as _};
use mainstay_dialects::embeddings::openai;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::call::Call;
use crate::error::{Result, Shape};
use crate::openai::front_statuses;
use crate::reply::{self, JSON};
use crate::routes::{Class, Reply, Route};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: Method::POST,
    path: "/v1/embeddings",
    id: "createEmbedding",
    summary: "Embed texts with a model, as OpenAI's API does it",
    tag: "models",
    class: Class::Work,
    errors: Shape::OpenAi,
    params: &[],
    body: Some(request),
    replies: &[Reply { status: 200, about: "The vectors", content: &[("application/json", answer)] }],
    statuses: front_statuses(),
    handler: |call| Box::pin(embed(call)),
}];

async fn embed(mut call: Call) -> Result {
    let body = call.json_bytes().await?;
    let (request, format) = openai::decode_request(&body)?;
    let ctx = call.bounded_ctx();
    let model = request.model.clone();
    let answer = call.shared.gateway.embed(&ctx, request).await?;
    Ok(reply::whole(StatusCode::OK, JSON, openai::encode_response(&answer, &model, format)))
}

fn request(_: &mut SchemaGenerator) -> Schema {
    let (inputs_max, dimensions_max) = (EmbedRequest::INPUTS_MAX, EmbedRequest::DIMENSIONS_MAX);
    json_schema!({
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": { "type": "string", "minLength": 1, "description": "A model's name in the spec." },
            "input": {
                "description": "A text, or a list of texts.",
                "anyOf": [
                    { "type": "string", "minLength": 1 },
                    {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": inputs_max,
                        "items": { "type": "string", "minLength": 1 }
                    }
                ]
            },
            "dimensions": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": dimensions_max,
                "description": "Numbers in a vector, where the model can make shorter ones."
            },
            "encoding_format": { "enum": ["float", "base64", null] }
        }
    })
}

fn answer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {
            "object": { "type": "string" },
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["index", "embedding"],
                    "properties": {
                        "index": { "type": "integer" },
                        "embedding": { "type": ["array", "string"], "items": { "type": "number" } }
                    }
                }
            },
            "model": { "type": "string" },
            "usage": { "type": "object" }
        }
    })
}
