//! The user's own HTTP services: their processes (start, health, restart, stop), the channel to an agent's (the core
//! `App` port: one POST, answered by JSON, text or server-sent events), and callers' requests to one that is no agent
//! (the core `Forward` port).
//!
//! The contract with the app is in `docs/guide/app-agents.md`. Nothing here retries a call, keeps a session or knows
//! what a run is made of; nothing here invents a port: `url` says where the app listens.

mod backoff;
pub mod beside;
mod callback;
mod channel;
mod contract;
mod forward;
mod grpc;
mod health;
mod output;
mod process;
mod service;
mod supervisor;

pub use backoff::Restart;
pub use callback::HttpCallback;
pub use grpc::GrpcApp;
pub use output::{Line, Sink, Source};
pub use process::guard::guard_if_asked;
pub use process::orphans::reap_orphans;
pub use service::{AppService, Form, Opening};
