//! An app agent: the user's own HTTP service behind the core `App` port. Its process (start, health, restart, stop) and
//! the channel to it (one POST, answered by JSON, text or server-sent events).
//!
//! The contract with the app is in `docs/guide/app-agents.md`. Nothing here retries a call, keeps a session or knows
//! what a run is made of; nothing here invents a port: `url` says where the app listens.

mod backoff;
pub mod beside;
mod callback;
mod channel;
mod contract;
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
pub use service::{AppService, Opening};
