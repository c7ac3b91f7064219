//! Model providers: one file a vendor behind the core port. They do not retry, fall back, meter, log or cache; the
//! gateway and its surroundings do, once.

pub mod providers;
mod wire;

pub use providers::{ALL, Def, Opening};
