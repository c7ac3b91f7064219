//! The embedded journal: a segmented log that is the truth, blobs for large values, and a view that can be rebuilt.
//!
//! It implements `mainstay_core::journal::RunJournal` for one process on one disk. It does not replicate, and it does
//! not repair: damage to what was acknowledged is reported, never papered over.

mod blob;
mod damage;
mod engine;
mod folder;
mod journal;
mod lock;
mod log;
pub mod medium;
mod options;
mod patience;
mod reserve;
mod stats;
mod store;
mod stored;
mod trim;
mod view;

pub use damage::Damage;
pub use journal::Journal;
pub use log::Lsn;
pub use options::Options;
pub use stats::Stats;
