//! The public listener, the data folder and the metrics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The public listener and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long open streams may finish after SIGTERM.
    pub drain: Duration,
    /// Longest wait of a caller for a whole answer (streams are bounded by the agent's timeout instead).
    pub request_timeout: Duration,
    /// Longest time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Longest time for a request's headers to arrive.
    pub header_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// Longest time in which a caller takes nothing of its answer.
    pub write_timeout: Duration,
    /// Bytes of a request's body.
    pub body_bytes_max: u64,
    /// Connections open at once; further ones wait in the listen queue.
    pub connections_max: u32,
    /// Requests in flight at once; further ones are refused with 503.
    pub requests_max: u32,
}

/// Where runs are kept and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The data folder.
    pub folder: PathBuf,
    /// Finished runs are forgotten after this.
    pub retention: Duration,
    /// Finished runs, oldest first, are forgotten beyond this many bytes.
    pub bytes_max: u64,
}

/// What `/metrics` shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Alias sets of metric names to show besides our own, by registered name.
    pub aliases: Vec<String>,
}

/// The building blocks' APIs, on loopback, for the apps of this spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// The port of the HTTP API; 0 for a free one.
    pub http_port: u16,
    /// The port of the gRPC API; 0 for a free one.
    pub grpc_port: u16,
}
