//! The surface as a client of the protocol meets it: over HTTP/2, on the listener that the program uses.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod calls;
mod configuration;
mod conversation;
mod crypto;
mod house;
mod lock;
mod metadata;
mod policies;
mod pubsub;
mod secrets;
mod state;
mod subscribe;
mod wire;
