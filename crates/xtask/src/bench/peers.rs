//! ★ The peers of `bench gateway`. To add one: a file in `peers/` with a `DEF`, and a line in `ALL`.
//!
//! A peer installs what it needs by a package manager's ordinary client, or says why it is not in the run.

mod litellm;
pub(super) mod mainstay;
mod nginx;
mod vllm_router;

use std::net::SocketAddr;

use super::service::Launch;
/// A gateway to put between the load and the mock.
pub(super) struct Peer {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// Whether it holds the open loop's rate and 64 connections on a small machine; a slow one gets gentler cells.
    pub(super) slow: bool,
    /// Makes it ready to start, in front of `upstream`. An error is the reason why it is not in the run.
    pub(super) prepare: fn(&Setting<'_>) -> anyhow::Result<Launch>,
}

/// What a peer is put into.
pub(super) struct Setting<'a> {
    /// The mock.
    pub(super) upstream: SocketAddr,
    /// The profile that ours is built in.
    pub(super) profile: &'a str,
}

/// Every peer, in the order of the table.
pub(super) static ALL: &[Peer] = &[nginx::DEF, vllm_router::DEF, litellm::DEF, mainstay::DEF];
