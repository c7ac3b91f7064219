//! The OpenAI front: chat completions.

use http::Method;
use mainstay_dialects::openai_chat;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::error::Shape;
use crate::front;
use crate::routes::{Class, Reply, Route, frame};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: Method::POST,
    path: "/v1/chat/completions",
    id: "createChatCompletion",
    summary: "Ask a model, as OpenAI's API does it",
    tag: "models",
    class: Class::Work,
    errors: Shape::OpenAi,
    params: &[],
    body: Some(request),
    replies: &[Reply {
        status: 200,
        about: "The answer; a stream where `stream` is true",
        content: &[("application/json", reply), ("text/event-stream", frame)],
    }],
    statuses: front_statuses(),
    handler: |call| Box::pin(front::ask(call, &openai_chat::CODEC, "chatcmpl-", &[])),
}];

/// What asking a model can fail with, besides what every request can. A provider's answer that blames the request is
/// passed on with its own status.
pub(crate) const fn front_statuses() -> &'static [u16] {
    &[400, 402, 403, 404, 409, 422, 429, 502, 503, 504, 529]
}

/// What is looked at; the rest is the target's to judge.
fn request(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "As in OpenAI's API; fields not listed here are passed on.",
        "required": ["model", "messages"],
        "properties": {
            "model": { "type": "string", "minLength": 1, "description": "A model's name in the spec." },
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {
                        "role": { "enum": ["system", "developer", "user", "assistant", "tool"] },
                        "content": { "type": ["string", "array", "null"], "description": "Text, or parts." }
                    }
                }
            },
            "stream": { "type": ["boolean", "null"] },
            "stream_options": {
                "type": ["object", "null"],
                "properties": { "include_usage": { "type": ["boolean", "null"] } }
            },
            "tools": { "type": ["array", "null"], "items": { "type": "object" } },
            "max_completion_tokens": { "type": ["integer", "null"], "minimum": 1, "maximum": 4294967295_u32 },
            "temperature": { "type": ["number", "null"], "minimum": 0, "maximum": 2 }
        }
    })
}

fn reply(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["id", "object", "created", "model", "choices"],
        "properties": {
            "id": { "type": "string" },
            "object": { "type": "string" },
            "created": { "type": "integer" },
            "model": { "type": "string" },
            "choices": { "type": "array", "items": { "type": "object" } },
            "usage": { "type": ["object", "null"] }
        }
    })
}
