//! The surface from outside: through its router, and over a socket where time and connections matter. Engines are real;
//! the journal is in memory, models and providers are scripted.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod access;
mod agents;
mod aliases;
mod documents;
mod errors;
mod fronts;
mod house;
mod operations;
mod runs;
mod scripted;
mod socket;
mod translation;
