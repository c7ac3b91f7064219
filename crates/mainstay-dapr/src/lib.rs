//! What the two surfaces of the Dapr wire format (v1.18.3) share: which status and which error code a failure has, over HTTP
//! and over gRPC, how a query is written, what is in an envelope, and what they say of the process. Pure; it knows no route,
//! no server and no backend.

mod about;
pub mod configuration;
pub mod conversation;
mod event;
pub mod fault;
pub mod lock;
pub mod pubsub;
pub mod query;
pub mod secrets;
pub mod state;
mod time;

pub use about::{About, AppConnection, AppHealth};
pub use event::Event;
pub use fault::{Detail, Fault, Grpc};
pub use time::time;
