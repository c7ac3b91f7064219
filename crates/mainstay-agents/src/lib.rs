//! Runs, sessions and the agent loop.
//!
//! Every invoke is a run with numbered events; an event is shown only once it is in the journal. Sessions are lines:
//! never two runs of one at work. The engine does no I/O of its own: the journal, the models, the tools and the apps
//! are ports.

mod admission;
mod app;
mod declared;
mod engine;
mod owner;
mod run;
mod session;
mod table;
mod tools;

pub use engine::{Engine, Ports, Start};
pub use run::handle::RunHandle;
pub use table::{Entry, Table};
