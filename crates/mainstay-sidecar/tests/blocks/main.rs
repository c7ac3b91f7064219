//! Locks, configuration and conversations through the router: statuses and bodies as clients of the protocol check
//! them.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod configuration;
mod conversation;
mod house;
mod lock;
