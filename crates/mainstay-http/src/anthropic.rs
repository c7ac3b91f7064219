//! The Anthropic front: messages.

use http::Method;
use mainstay_dialects::anthropic;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::error::Shape;
use crate::front;
use crate::openai::front_statuses;
use crate::routes::{Class, Param, Place, Reply, Route, frame, text};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: Method::POST,
    path: "/v1/messages",
    id: "createMessage",
    summary: "Ask a model, as Anthropic's API does it",
    tag: "models",
    class: Class::Work,
    errors: Shape::Anthropic,
    params: &[
        Param { place: Place::Header, name: "anthropic-version", about: "Passed on", schema: text },
        Param { place: Place::Header, name: "anthropic-beta", about: "Passed on", schema: text },
    ],
    body: Some(request),
    replies: &[Reply {
        status: 200,
        about: "The answer; a stream where `stream` is true",
        content: &[("application/json", reply), ("text/event-stream", frame)],
    }],
    statuses: front_statuses(),
    handler: |call| Box::pin(front::ask(call, &anthropic::CODEC, "msg_", PASSED_ON)),
}];

const PASSED_ON: front::PassedOn = &["anthropic-version", "anthropic-beta"];

/// What is looked at; the rest is the target's to judge.
fn request(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "As in Anthropic's API; fields not listed here are passed on.",
        "required": ["model", "messages", "max_tokens"],
        "properties": {
            "model": { "type": "string", "minLength": 1, "description": "A model's name in the spec." },
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["role", "content"],
                    "properties": {
                        "role": { "enum": ["user", "assistant"] },
                        "content": { "type": ["string", "array"], "description": "Text, or blocks." }
                    }
                }
            },
            "max_tokens": { "type": "integer", "minimum": 1, "maximum": 4294967295_u32 },
            "stream": { "type": ["boolean", "null"] },
            "tools": { "type": ["array", "null"], "items": { "type": "object" } },
            "temperature": { "type": ["number", "null"], "minimum": 0, "maximum": 1 }
        }
    })
}

fn reply(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["id", "type", "role", "model", "content", "usage"],
        "properties": {
            "id": { "type": "string" },
            "type": { "type": "string" },
            "role": { "type": "string" },
            "model": { "type": "string" },
            "content": { "type": "array", "items": { "type": "object" } },
            "stop_reason": { "type": ["string", "null"] },
            "usage": { "type": "object" }
        }
    })
}
