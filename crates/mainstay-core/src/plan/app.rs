//! The user's own HTTP services: how one is reached and started, and those that are no agents.

use std::time::Duration;

use crate::SecretRef;

/// An HTTP service of the user's: where it is, and the command that starts it, if we do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its base URL, without a slash at its end.
    pub url: String,
    /// The command that starts it, if we do; run by `sh -c` in the spec's folder.
    pub command: Option<String>,
    /// Variables added to its environment, values or secret references.
    pub env: Vec<(String, EnvValue)>,
    /// Path that answers 2xx when the service can work.
    pub health_path: String,
    /// How long it may take to become healthy.
    pub start_timeout: Duration,
}

/// A service that is no agent: it is kept at work beside the agents, and callers reach the routes that it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The service.
    pub process: Process,
    /// What it is for, shown in the docs; may be empty.
    pub description: String,
    /// Paths that callers may ask, each with everything below it. Begin with `/`, have one segment at least, and are
    /// no other app's.
    pub routes: Vec<String>,
    /// Longest answer to a caller, streams included.
    pub timeout: Duration,
}

/// First segments of paths that the public surface keeps for itself, whatever it answers there today. No app's route
/// begins with one.
pub const RESERVED: &[&str] = &[
    ".well-known",
    "admin",
    "dashboard",
    "docs",
    "health",
    "invoke",
    "mcp",
    "metrics",
    "openapi.json",
    "ready",
    "stream",
    "v1",
    "v1beta",
];

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// As written.
    Plain(String),
    /// From a secret source.
    Secret(SecretRef),
}
