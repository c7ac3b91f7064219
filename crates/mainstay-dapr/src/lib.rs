//! What the two surfaces of the Dapr wire format (v1.18.3) share: which status and which error code a failure has, over
//! HTTP and over gRPC, how a query is written, what is in an envelope, which token is asked for, and what they say of
//! the process. What the app is sent over gRPC is made here as well. Pure; it knows no route, no server and no backend.

mod about;
mod apis;
pub mod bindings;
pub mod configuration;
pub mod conversation;
pub mod crypto;
mod event;
pub mod fault;
pub mod invoke;
pub mod lock;
pub mod pubsub;
pub mod query;
pub mod secrets;
pub mod state;
pub mod structs;
mod time;
mod token;
mod topic_event;

pub use about::{About, AppConnection, AppHealth};
pub use apis::Apis;
pub use event::Event;
pub use fault::{Detail, Fault, Grpc};
pub use time::time;
pub use token::{Denied, Token};
pub use topic_event::{bulk_topic_event, topic_event};
