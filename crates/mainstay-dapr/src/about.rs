//! What the metadata says of the process, in both wire formats.

use serde_json::{Value, json};

/// Who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The version of the wire format that is spoken.
    pub runtime_version: String,
    /// Features that are on.
    pub features: Vec<String>,
    /// How the app is reached.
    pub app_connection: Option<AppConnection>,
    /// The external services that the app may call, by name.
    pub http_endpoints: Vec<String>,
    /// The documents of policies that hold for the app, by name.
    pub resiliencies: Vec<String>,
    /// Further names and values (`extended`), e.g. the app's command and process id.
    pub extended: Vec<(String, String)>,
}

impl About {
    /// The name under which older clients look for the version among the further values.
    pub const RUNTIME_VERSION: &str = "daprRuntimeVersion";
}

/// How the app is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppConnection {
    /// Its port.
    pub port: u16,
    /// What it speaks: `http`, `grpc`, ….
    pub protocol: String,
    /// Its host.
    pub channel_address: String,
    /// Calls at once; 0 without a bound.
    pub concurrency_max: u32,
    /// How its health is probed, where it is.
    pub health: Option<AppHealth>,
}

/// How the app's health is probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppHealth {
    /// Where, over HTTP; empty over gRPC.
    pub path: String,
    /// How often, as Go writes durations (`5s`).
    pub interval: String,
    /// How long a probe may take, written likewise.
    pub timeout: String,
    /// After how many failures it counts as ill.
    pub threshold: u32,
}

impl AppConnection {
    /// As JSON has it: what is zero is left out.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = json!({
            "port": self.port,
            "protocol": self.protocol,
            "channelAddress": self.channel_address,
        });
        if self.concurrency_max > 0 {
            json["maxConcurrency"] = self.concurrency_max.into();
        }
        if let Some(health) = &self.health {
            json["health"] = json!({
                "healthCheckPath": health.path,
                "healthProbeInterval": health.interval,
                "healthProbeTimeout": health.timeout,
                "healthThreshold": health.threshold,
            });
        }
        json
    }
}
