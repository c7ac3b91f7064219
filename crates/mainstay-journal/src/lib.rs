//! What is durable inside the process: segmented logs that are the truth, blobs for large values, and views that can be
//! rebuilt.
//!
//! `Journal` is the record of runs (`mainstay_core::journal::RunJournal`), `Stores` are the state stores and brokers
//! (`mainstay_core::embedded::Embedded`); each for one process on one disk. It does not replicate, and it does
//! not repair: damage to what was acknowledged is reported, never papered over.

mod blob;
mod care;
mod damage;
mod embedded;
mod engine;
mod folder;
mod journal;
mod lock;
mod log;
pub mod medium;
mod options;
mod patience;
mod pubsub;
mod reserve;
mod state;
mod stats;
mod store;
mod stored;
mod trim;
mod view;

pub use damage::Damage;
pub use embedded::{EmbeddedOptions, Stores};
pub use journal::Journal;
pub use log::Lsn;
pub use options::Options;
pub use stats::Stats;
