//! ★ The route table. The router and `/openapi.json` are both made from it.
//!
//! To add a route: a [`Route`] in the `ROUTES` of its room. To add a room: its file, and a line in [`ROOMS`].

use std::collections::BTreeMap;
use std::pin::Pin;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::call::Call;
use crate::error::{Result, Shape};
use crate::{agents, aliases, anthropic, docs, embeddings, health, models, openai, runs, sessions};

/// Every room, in the order of the document.
pub(crate) static ROOMS: &[&[Route]] = &[
    agents::ROUTES,
    runs::ROUTES,
    sessions::ROUTES,
    aliases::ROUTES,
    openai::ROUTES,
    embeddings::ROUTES,
    anthropic::ROUTES,
    models::ROUTES,
    health::ROUTES,
    docs::ROUTES,
];

/// A method of a path.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With parameters in braces.
    pub(crate) path: &'static str,
    /// The operation's id, unique.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) class: Class,
    pub(crate) errors: Shape,
    /// Parameters besides those of the path.
    pub(crate) params: &'static [Param],
    /// The schema of the body, if the route takes one.
    pub(crate) body: Option<SchemaOf>,
    /// Answers other than errors.
    pub(crate) replies: &'static [Reply],
    /// Statuses of errors besides those that its class and its body bring with them.
    pub(crate) statuses: &'static [u16],
    pub(crate) handler: Handler,
}

/// What a route is in the eyes of access, bounds and drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Health: answered always, to anyone, uncounted.
    Probe,
    /// Documents about the API: answered to anyone, uncounted, for they are in memory already.
    Open,
    /// Needs leave; goes on during a drain.
    Read,
    /// Needs leave and makes new work; refused during a drain.
    Work,
    /// Needs leave; answered however busy the server is, for that is when it is asked.
    Watch,
}

impl Class {
    pub(crate) fn needs_leave(self) -> bool {
        matches!(self, Self::Read | Self::Work | Self::Watch)
    }

    pub(crate) fn is_counted(self) -> bool {
        !matches!(self, Self::Probe | Self::Open | Self::Watch)
    }
}

/// A handler; see [`Call`] for what it gets.
pub(crate) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result> + Send>>;

/// Makes the schema of a type in a document.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter in the query or among the headers.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) schema: SchemaOf,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    Header,
}

/// An answer that is no error.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    /// Media types and the schemas of JSON ones; empty for an answer without a body.
    pub(crate) content: &'static [(&'static str, SchemaOf)],
}

/// The schema of a body that is text.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

/// One event of a stream: OpenAPI 3.1 describes a stream by its events.
pub(crate) fn frame(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The event's number in its run, where it has one" },
            "event": { "type": "string", "description": "What happened" },
            "data": { "type": "string", "description": "JSON, or the word that ends the stream" },
        },
        "required": ["data"],
    })
}

/// The schema of an id that a caller may have chosen.
pub(crate) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-.0-~]+$" })
}

/// The schema of a name in the spec.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$" })
}

/// All routes.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    ROOMS.iter().flat_map(|room| room.iter())
}

/// The routes of each path.
pub(crate) fn by_path() -> BTreeMap<&'static str, Vec<&'static Route>> {
    let mut paths: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for route in all() {
        paths.entry(route.path).or_default().push(route);
    }
    paths
}

/// The names in a path's braces.
pub(crate) fn path_params(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
