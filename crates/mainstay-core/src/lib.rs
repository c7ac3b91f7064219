//! Ring 0: the nouns of the house, the `Plan`, the ports and the errors.
//!
//! This crate performs no I/O, reads no clock and names no backend, protocol or vendor.
//! Engines (ring 1) are written against the traits here; adapters (ring 2) implement them; the binary joins them.

pub mod app;
pub mod binding;
pub mod callback;
pub mod clock;
pub mod codes;
pub mod component;
pub mod configuration;
pub mod conversation;
pub mod crypto;
pub mod ctx;
pub mod duration;
pub mod embedded;
pub mod embedding;
pub mod error;
pub mod forward;
pub mod http_endpoint;
pub mod id;
pub mod journal;
pub mod kind;
pub mod lock;
pub mod message;
pub mod meter;
pub mod methods;
pub mod metric;
pub mod middleware;
pub mod model;
pub mod plan;
pub mod provider;
pub mod pubsub;
pub mod resiliency;
pub mod resources;
pub mod run;
pub mod runtime_config;
pub mod secret;
pub mod secret_store;
pub mod state;
pub mod subscription;
pub mod telemetry;
pub mod tool;

pub use clock::Clock;
pub use codes::Code;
pub use ctx::{Ctx, Principal};
pub use error::{Error, Kind, Result, Retry};
pub use id::{CallId, Name, RequestId, RunId, SessionId};
pub use kind::{Fault, KindDef};
pub use plan::Plan;
pub use secret::{Redacted, SecretRef};

/// A boxed stream that can be sent between tasks; dropping it cancels the work behind it.
pub type BoxStream<T> = std::pin::Pin<Box<dyn futures_core::Stream<Item = T> + Send + 'static>>;
