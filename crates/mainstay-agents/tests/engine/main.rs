//! The engine's behaviour, through its public API, against fakes of its ports.

#![expect(clippy::unwrap_used, reason = "a test that meets `None` or `Err` has failed")]

mod apps;
mod concurrency;
mod declared;
mod ending;
mod follow;
mod history;
mod idempotency;
mod ownership;
mod recording;
mod sessions;
mod shutdown;
mod stage;
