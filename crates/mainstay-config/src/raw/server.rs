//! `server`, `data` and `metrics`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{Size, Time};

/// The public listener and its bounds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The address and port to listen on: `127.0.0.1:8080`, `[::1]:8080`, `0.0.0.0:8080`, `localhost:8080`. Port 0
    /// takes a free one. Beyond loopback `access` must have a key or say who may call without.
    #[schemars(extend("x-form" = "listen", "examples" = ["127.0.0.1:8080", "0.0.0.0:8080"]))]
    pub(crate) listen: String,
    /// How long open streams may finish after SIGTERM.
    #[schemars(extend("x-maximum" = "1h"))]
    pub(crate) drain: Time,
    /// Longest wait of a caller for a whole answer. Streams are bounded by the agent's `timeout` instead.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub(crate) request_timeout: Time,
    /// Longest time for a request's headers to arrive.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) header_timeout: Time,
    /// How long a connection without a request is kept. Load balancers want it longer than their own (ALB: 60 s).
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub(crate) idle_timeout: Time,
    /// Longest time in which a caller takes nothing of its answer; then the connection is cut.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub(crate) write_timeout: Time,
    /// Longest time for a request's body to arrive.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
    pub(crate) body_timeout: Time,
    /// Largest body of a request, in bytes.
    #[schemars(extend("x-minimum" = "1KiB", "x-maximum" = "256MiB"))]
    pub(crate) body_bytes_max: Size,
    /// Connections open at once; further ones wait in the listen queue. Never more than half of the descriptors that
    /// the process may open (`ulimit -Hn`).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections_max: u32,
    /// Requests in flight at once; further ones are refused with 503.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests_max: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            drain: Time::seconds(30),
            request_timeout: Time::seconds(60),
            header_timeout: Time::seconds(10),
            idle_timeout: Time::seconds(75),
            write_timeout: Time::seconds(60),
            body_timeout: Time::seconds(10),
            body_bytes_max: Size(1 << 20),
            connections_max: 10_000,
            requests_max: 2_048,
        }
    }
}

/// Where runs are kept and for how long.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Data {
    /// The data folder, relative to the spec's folder. One process at a time may use it.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) folder: String,
    /// Finished runs are forgotten after this.
    #[schemars(extend("x-minimum" = "1m", "x-maximum" = "3650d"))]
    pub(crate) retention: Time,
    /// Finished runs, oldest first, are forgotten beyond this many bytes.
    #[schemars(extend("x-minimum" = "1MiB", "x-maximum" = "1024TiB"))]
    pub(crate) bytes_max: Size,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            folder: ".mainstay".to_owned(),
            retention: Time::seconds(30 * 86_400),
            bytes_max: Size(1 << 30),
        }
    }
}

/// What `/metrics` shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// Alias sets of metric names to show besides our own, for dashboards that expect another service's names.
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) aliases: Vec<String>,
}

/// The building blocks' APIs, on loopback. The commands of agents' apps find the ports in `DAPR_HTTP_PORT` and
/// `DAPR_GRPC_PORT`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sidecar {
    /// The port of the HTTP API; 0 for a free one. `--dapr-http-port` and the variable `DAPR_HTTP_PORT` come before it.
    pub(crate) http_port: u16,
    /// The port of the gRPC API; 0 for a free one. `--dapr-grpc-port` and the variable `DAPR_GRPC_PORT` come before it.
    pub(crate) grpc_port: u16,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self { http_port: 3500, grpc_port: 50001 }
    }
}
