//! Autoscaling tried on paper: a trace of requests, a service, and the policy that adds and removes its replicas.
//!
//! The way: a [`Trace`] (read or made up) meets a [`Service`] under a policy of the list (`policies.rs`), event by
//! event; what callers and the bill would have seen becomes [`Figures`], and those a chart or a page. Pure and
//! deterministic: the same trace and setup give the same bytes. What is not modelled: processor and memory use, a
//! provider's own limits, a machine that must be added before a replica fits.

pub mod chart;
mod engine;
pub mod html;
pub mod policies;
pub mod price;
mod random;
pub mod report;
mod series;
pub mod service;
pub mod synthetic;
pub mod trace;

pub use engine::{Outcome, Sample};
pub use policies::{Def, Policy, Setup};
pub use price::Price;
pub use report::{Figures, Report, Row};
pub use service::Service;
pub use trace::Trace;

/// What happens to the requests of a trace under a policy.
#[must_use]
pub fn run(trace: &Trace, service: &Service, policy: &mut dyn Policy) -> Outcome {
    engine::run(trace, service, policy)
}

/// A number of replicas from a quotient: rounded up, nothing below none.
fn whole(replicas: f64) -> u32 {
    // The cast saturates, and a number that is none becomes 0.
    replicas.ceil().max(0.0) as u32
}
