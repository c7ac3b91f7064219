//! The public HTTP surface: agents, runs, sessions, the model fronts, routes of apps, health, metrics and the documents about them.
//!
//! Entry: [`Surface`]. A request passes `endpoint` (request id, bounds, access, one report at the end), then the
//! handler that its row in `routes` names, or the app that has its path. It decides nothing about runs or models: the engines do. It opens no socket
//! and names no adapter.

mod access;
mod agents;
mod aliases;
mod anthropic;
mod apps;
mod ask;
mod body;
mod call;
mod cors;
mod docs;
mod embeddings;
mod endpoint;
mod error;
mod front;
mod health;
mod load;
mod message;
mod models;
mod openai;
mod openapi;
mod reply;
mod request_id;
mod router;
mod routes;
mod runs;
mod sessions;
mod settings;
mod sse;
mod surface;
mod ticket;

pub use apps::Served;
pub use body::{BoxError, RequestBody};
pub use openapi::document as openapi_document;
pub use reply::Tracked;
pub use router::Router;
pub use settings::{Access, Key, Settings};
pub use surface::{Look, Parts, Surface};
