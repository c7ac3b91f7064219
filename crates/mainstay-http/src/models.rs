//! The list of models, in the shape of the API that the caller speaks.

use http::{Method, StatusCode};
use mainstay_core::provider::ModelCard;
use mainstay_core::{Error, Name, codes};
use mainstay_dialects::{Codec, anthropic, openai_chat};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::call::Call;
use crate::error::{Result, Shape, anthropic_version};
use crate::reply::{self, JSON};
use crate::routes::{Class, Param, Place, Reply, Route, text};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/models",
        id: "listModels",
        summary: "The models that can be asked for, in the shape of the caller's API",
        tag: "models",
        class: Class::Read,
        errors: Shape::Models,
        params: &[VERSION],
        body: None,
        replies: &[Reply { status: 200, about: "The models", content: &[("application/json", list_schema)] }],
        statuses: &[],
        handler: |call| Box::pin(list(call)),
    },
    Route {
        method: Method::GET,
        path: "/v1/models/{model}",
        id: "getModel",
        summary: "A model, in the shape of the caller's API",
        tag: "models",
        class: Class::Read,
        errors: Shape::Models,
        params: &[VERSION],
        body: None,
        replies: &[Reply { status: 200, about: "The model", content: &[("application/json", model_schema)] }],
        statuses: &[404],
        handler: |call| Box::pin(read(call)),
    },
];

const VERSION: Param = Param {
    place: Place::Header,
    name: anthropic_version(),
    about: "Present: the shape is Anthropic's; absent: OpenAI's",
    schema: text,
};

async fn list(call: Call) -> Result {
    let cards: Vec<ModelCard> = call.shared.gateway.models().iter().map(card).collect();
    Ok(reply::whole(StatusCode::OK, JSON, (codec(&call).encode_models)(&cards, created_s(&call))))
}

async fn read(call: Call) -> Result {
    let wanted = call.path_param("model");
    let models = call.shared.gateway.models();
    let found = models.iter().find(|name| name.as_str() == wanted).ok_or_else(|| {
        let known: Vec<&str> = models.iter().map(Name::as_str).collect();
        Error::new(&codes::MODEL_NOT_FOUND, "find the model: no model has this name")
            .with_field("model")
            .with_help(format!("the models here are: {}", known.join(", ")))
    })?;
    let page = (codec(&call).encode_models)(&[card(found)], created_s(&call));
    let mut page: Value = serde_json::from_slice(&page)
        .map_err(|error| Error::bug("a list of models is no JSON").with_source(error))?;
    Ok(reply::json(&page["data"][0].take()))
}

fn card(name: &Name) -> ModelCard {
    ModelCard { id: name.to_string() }
}

fn codec(call: &Call) -> &'static Codec {
    match Shape::Models.resolve(call.headers()) {
        Shape::Anthropic => &anthropic::CODEC,
        _ => &openai_chat::CODEC,
    }
}

fn created_s(call: &Call) -> u64 {
    call.shared.started_ms / 1_000
}

fn model_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["id"],
        "properties": { "id": { "type": "string", "description": "The model's name in the spec." } }
    })
}

fn list_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["data"],
        "properties": { "data": { "type": "array", "items": model_schema(generator) } }
    })
}
