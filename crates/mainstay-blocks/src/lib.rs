//! Ring 1: the building blocks. Each is the rules of an API family over its port: whose key it is, what an etag asks
//! for, what an envelope holds, who may publish where. It knows no wire format, no route and no backend.
//!
//! [`Blocks`] is the hub: the components that are open, by name. Surfaces call each block with it, and take requests
//! through its [`middleware`]; [`door`] and [`access`] stand before the app beside us.

pub mod access;
pub mod bindings;
pub mod configuration;
pub mod conversation;
pub mod crypto;
pub mod door;
mod hub;
pub mod layers;
pub mod lock;
mod metering;
pub mod middleware;
pub mod pubsub;
pub mod ready;
pub mod secrets;
pub mod state;

pub use hub::{App, Blocks, Broker, EXTENDED_MAX, Missing, Opened, Summary, Table};
