//! ★ The conformance suites, one per port. To add one: a file in `conformance/` and a line here. Each suite takes a
//! factory of its port and checks every promise of the port's documentation, both ways.

pub mod bindings;
pub mod configuration;
pub mod crypto;
pub mod journal;
pub mod lock;
pub mod members;
pub mod middleware;
pub mod provider;
pub mod pubsub;
pub mod secret_stores;
pub mod state;
mod suite;
pub mod tool;
