//! The crate from outside: specs in, plans or faults out. The registries are fakes, as adapters are rings above.

mod docs;
mod fakes;
mod faults;
mod hostile;
mod plan;
