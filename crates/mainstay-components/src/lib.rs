//! Backends of building blocks: where secrets come from and what agents may call.
//!
//! Members neither retry nor meter nor cache; what is outside them does. Nothing here knows an agent, a model or a
//! route.

pub mod bindings;
#[cfg(any(
    feature = "jetstream",
    feature = "kafka",
    feature = "mqtt",
    feature = "pluggable",
    feature = "postgres",
    feature = "rabbitmq",
    feature = "redis",
    feature = "sqlite"
))]
mod clients;
pub mod configuration;
pub mod conversation;
pub mod crypto;
pub mod def;
#[cfg(feature = "crypto")]
mod keys;
pub mod locks;
pub mod middleware;
#[cfg(all(unix, feature = "pluggable"))]
pub mod pluggable;
pub mod pubsub;
pub mod reference;
pub mod secret_stores;
pub mod secrets;
pub mod settings;
pub mod state;
pub mod tools;
#[cfg(feature = "crypto")]
mod web;
