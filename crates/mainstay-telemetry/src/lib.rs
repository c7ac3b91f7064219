//! Metrics behind the core telemetry port, in Prometheus' text format.
//!
//! Labels come from the spec and from closed sets, never from callers; each family is bounded all the same. Nothing per
//! user or session is a label. It samples nothing by itself: a scrape reads the process figures when it comes.

mod aliases;
mod beside;
mod exposition;
mod families;
mod moved;
mod own;
mod process;
mod prometheus;

pub use aliases::ALIAS_SETS;
pub use beside::Beside;
pub use prometheus::Prometheus;
