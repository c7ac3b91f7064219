//! Models as agents and callers know them: a name, its targets in order, and what happens when one fails.
//!
//! A request in a target's own dialect passes through as bytes; any other takes the canonical path. Falling over to
//! the next target happens only before the first byte of an answer is shown. This engine does no I/O of its own and
//! knows no dialect and no vendor.

mod account;
mod dispatch;
mod embed;
mod fallover;
mod silence;
mod table;

pub use dispatch::{Answer, FrontRequest, Gateway};
pub use table::Table;
