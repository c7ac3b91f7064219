//! `/openapi.json`: the route table and the types of its bodies as OpenAPI 3.1. It describes; it serves nothing.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::error::{AliasError, ErrorReply, Shape};
use crate::routes::{self, Class, Param, Place, Reply, Route, SchemaOf};

/// The OpenAPI 3.1 document of this surface under a title and a version.
#[must_use]
pub fn document(title: &str, version: &str) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for (path, routes) in routes::by_path() {
        let operations: Map<String, Value> = routes
            .iter()
            .map(|route| (route.method.as_str().to_ascii_lowercase(), operation(route, &mut schemas)))
            .collect();
        paths.insert(path.to_owned(), operations.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "The HTTP API of a Mainstay service. Errors carry a stable code with a page under `/docs/errors/`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key of the spec." },
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

/// Schemas are made twice over: what is read and what is written differ in which fields must be there.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = |contract| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
                settings.contract = contract;
            })
        };
        Self {
            read: settings(Contract::Deserialize).into_generator(),
            written: settings(Contract::Serialize).into_generator(),
        }
    }

    fn components(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.extend(self.written.take_definitions(true));
        all.sort_keys();
        all
    }
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let in_path = routes::path_params(route.path).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let mut params: Vec<Value> = in_path.collect();
    params.extend(route.params.iter().map(|param| parameter(param, schemas)));
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": params,
        "responses": responses(route, schemas),
    });
    if let Some(body) = route.body {
        let content = json!({ "application/json": { "schema": body(&mut schemas.read) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    // The empty requirement: a service may let callers in without a key.
    let needed =
        if route.class.needs_leave() { json!([{ "bearer": [] }, { "apiKey": [] }, {}]) } else { json!([]) };
    operation["security"] = needed;
    operation
}

fn parameter(param: &Param, schemas: &mut Schemas) -> Value {
    let place = match param.place {
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": param.name,
        "in": place,
        "required": false,
        "description": param.about,
        "schema": (param.schema)(&mut schemas.read),
    })
}

fn responses(route: &Route, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for status in error_statuses(route) {
        responses.insert(status.to_string(), error(route.errors, status, schemas));
    }
    if passes_statuses_on(route) {
        let mut passed = error(route.errors, 400, schemas);
        passed["description"] = "The provider blamed the request; its answer is passed on as it came".into();
        responses.insert("4XX".to_owned(), passed);
    }
    for reply in route.replies {
        responses.insert(reply.status.to_string(), answer(reply, schemas));
    }
    responses.sort_keys();
    responses.into()
}

/// Every status that an error of the route can have.
pub(crate) fn error_statuses(route: &Route) -> Vec<u16> {
    let mut statuses = vec![500];
    if route.class.is_counted() {
        statuses.push(503);
    }
    if route.class.needs_leave() {
        statuses.extend([401, 403, 429, 504]);
    }
    if route.class == Class::Work && route.errors == Shape::Anthropic {
        statuses.push(529);
    }
    if route.body.is_some() {
        statuses.extend([400, 408, 413, 415]);
        if matches!(route.errors, Shape::Ours | Shape::Alias) {
            statuses.push(422);
        }
    }
    statuses.extend(route.statuses);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn passes_statuses_on(route: &Route) -> bool {
    matches!(route.errors, Shape::OpenAi | Shape::Anthropic)
}

fn answer(reply: &Reply, schemas: &mut Schemas) -> Value {
    let mut content = Map::new();
    for (media_type, schema) in reply.content {
        content.insert((*media_type).to_owned(), json!({ "schema": schema(&mut schemas.written) }));
    }
    let mut answer = json!({ "description": reply.about });
    if !content.is_empty() {
        answer["content"] = content.into();
    }
    answer
}

fn error(shape: Shape, status: u16, schemas: &mut Schemas) -> Value {
    let schema = error_schema(shape)(&mut schemas.written);
    let mut answer = json!({
        "description": meaning(status),
        "content": { "application/json": { "schema": schema } },
    });
    if matches!(status, 429 | 503 | 529) {
        let retry_after =
            json!({ "description": "Seconds to wait", "schema": { "type": "integer", "minimum": 1 } });
        answer["headers"] = json!({ "retry-after": retry_after });
    }
    answer
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The body is not valid JSON, or a field does not fit",
        401 => "A valid API key is needed",
        402 => "The provider account has no quota left",
        403 => "The caller may not do that",
        404 => "No such thing",
        408 => "The body did not arrive in time",
        409 => "The state of the thing forbids it now",
        413 => "The body is too large",
        415 => "The body is not declared as JSON",
        422 => "A field is missing or out of bounds",
        429 => "Too many requests",
        500 => "An internal fault",
        502 => "What we asked answered badly",
        503 => "Overloaded, draining, or something we depend on is down",
        504 => "The answer did not come in time",
        529 => "Overloaded",
        _ => "An error",
    }
}

fn error_schema(shape: Shape) -> SchemaOf {
    match shape {
        Shape::Ours => routes::of::<ErrorReply>,
        Shape::Alias => routes::of::<AliasError>,
        Shape::OpenAi => routes::of::<OpenAiError>,
        Shape::Anthropic => routes::of::<AnthropicError>,
        Shape::Models => |generator| {
            json_schema!({
                "anyOf": [routes::of::<OpenAiError>(generator), routes::of::<AnthropicError>(generator)]
            })
        },
    }
}

/// Stands for the error body of OpenAI's API, which the dialect writes.
struct OpenAiError;

impl JsonSchema for OpenAiError {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpenAiError".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An error as OpenAI's API shows it.",
            "required": ["error"],
            "properties": { "error": {
                "type": "object",
                "required": ["message", "type"],
                "properties": {
                    "message": { "type": "string" },
                    "type": { "type": "string" },
                    "param": { "type": ["string", "null"] },
                    "code": { "type": ["string", "integer", "null"] }
                }
            } }
        })
    }
}

/// Stands for the error body of Anthropic's API, which the dialect writes.
struct AnthropicError;

impl JsonSchema for AnthropicError {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnthropicError".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An error as Anthropic's API shows it.",
            "required": ["type", "error"],
            "properties": {
                "type": { "const": "error" },
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": { "type": { "type": "string" }, "message": { "type": "string" } }
                },
                "request_id": { "type": ["string", "null"] }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::{Error, codes};

    use super::*;

    #[test]
    fn every_error_that_work_can_meet_has_its_status_declared() {
        for route in routes::all().filter(|route| route.class == Class::Work) {
            let declared = error_statuses(route);
            let at_run_time = |code: &&&'static mainstay_core::Code| {
                let outside = [&codes::METHOD_NOT_ALLOWED, &codes::INVALID_REQUEST];
                !code.id.starts_with("CONFIG_") && !outside.contains(*code)
            };
            for code in codes::ALL.iter().filter(at_run_time) {
                let status = route.errors.status(&Error::new(code, "x")).as_u16();
                assert!(declared.contains(&status), "{} {}: {status} is not declared", route.path, code.id);
            }
        }
    }
}
