//! What the two surfaces of the Dapr wire format (v1.18.3) share: which status and which error code a failure has, over HTTP
//! and over gRPC. Pure; it knows no route, no server and no backend.

pub mod fault;
pub mod pubsub;
pub mod secrets;
pub mod state;

pub use fault::{Detail, Fault, Grpc};
