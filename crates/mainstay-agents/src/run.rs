//! The life of a run, from its first row to its last event.
//!
//! ```text
//! life ── body (declared, app) ── recorder ─► outbox ─► writer ─► journal
//!                                                         └────► live (tail, progress) ─► follow, handle
//! ```

pub(crate) mod follow;
pub(crate) mod handle;
pub(crate) mod life;
pub(crate) mod live;
pub(crate) mod outbox;
pub(crate) mod recorder;
pub(crate) mod tail;
pub(crate) mod writer;
