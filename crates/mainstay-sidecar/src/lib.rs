//! The building blocks over HTTP, in Dapr's wire format (v1.18.3), for the app beside us.
//!
//! Entry: [`Surface`]. A request passes the API token, then the handler that its row in `routes` names. Calls of
//! other apps on this host come by [`Inbound`]. It decides nothing
//! about state, messages or secrets: the blocks do. It opens no socket and names no adapter.

mod answer;
mod bindings;
mod call;
mod configuration;
mod conversation;
mod cors;
mod crypto;
mod health;
mod invoke;
mod lock;
mod metadata;
mod middleware;
mod neighbours;
mod noting;
mod public;
mod pubsub;
mod router;
mod routes;
mod rules;
mod secrets;
mod state;
mod surface;

pub use answer::Body;
pub use cors::Origins;
pub use invoke::{Neighbours, OwnApp, Target, Targets};
pub use mainstay_dapr::About;
pub use neighbours::Inbound;
pub use public::Public;
pub use router::Router;
pub use rules::Rules;
pub use surface::{Parts, Phase, Surface};
