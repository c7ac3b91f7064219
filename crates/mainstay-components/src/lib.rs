//! Backends of building blocks: where secrets come from and what agents may call.
//!
//! Members neither retry nor meter nor cache; what is outside them does. Nothing here knows an agent, a model or a route.

#[cfg(any(feature = "kafka", feature = "redis", feature = "postgres", feature = "sqlite"))]
mod clients;
pub mod def;
pub mod locks;
pub mod pubsub;
pub mod reference;
pub mod secret_stores;
pub mod secrets;
pub mod settings;
pub mod state;
pub mod tools;
