//! Plumbing: listeners with drain, HTTP clients with one TLS stack, and the guard that keeps tools off private
//! addresses. It knows HTTP and nothing of agents, models or routes.

pub mod client;
pub mod clock;
pub mod guard;
pub mod hops;
pub mod multiplexed;
pub mod server;
pub mod sockets;
pub mod tls;
