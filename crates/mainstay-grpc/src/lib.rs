//! The building blocks over gRPC, in Dapr's wire format (v1.18.3), for the app beside us.
//!
//! Entry: [`Surface`]. A call passes its head (is it gRPC, until when, under which trace) and the API token, then the
//! method that `dapr` names. It decides nothing about state, messages or secrets: the blocks do. It opens no socket and
//! names no adapter. Of its own service, what it does not serve is answered with UNIMPLEMENTED; calls of other services
//! are passed on to the app that they name.

mod bindings;
mod call;
mod configuration;
mod conversation;
mod crypto;
mod dapr;
mod head;
mod invoke;
mod lock;
mod metadata;
mod noting;
mod provider;
mod proxy;
mod pubsub;
mod router;
mod secrets;
mod state;
mod status;
mod subscribe;
mod surface;

pub use invoke::Invoke;
pub use mainstay_dapr::About;
pub use provider::Provider;
pub use proxy::{Inbound, Ways};
pub use router::Router;
pub use surface::{Parts, Rules, Surface};
