//! Settings of an `http` tool, and their schema. What a schema cannot say is in `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::quantity::{Size, Time};

/// Settings of an HTTP tool.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// What the tool does, for the model: when to use it and what comes back.
    #[schemars(length(min = 1, max = 8192))]
    pub(super) description: String,
    /// The method. Every one but GET carries an `idempotency-key` header, the same for every attempt of a call.
    #[serde(default)]
    pub(super) method: Method,
    /// The address, `http` or `https`. `{name}` in its path or query stands for the argument of that name,
    /// percent-encoded; an argument can change neither scheme, host, port nor the number of path segments.
    #[schemars(length(min = 1, max = 4096), extend("examples" = ["https://api.example.com/tickets/{id}"]))]
    pub(super) url: String,
    /// JSON Schema (2020-12) of the arguments: an object. Arguments without a placeholder in `url` travel as query
    /// (GET, DELETE) or in a JSON body (POST, PUT, PATCH).
    pub(super) parameters: Map<String, Value>,
    /// Headers to send. A value is text in which `${env:NAME}` or `${file:PATH}` stands for a secret; a value that is a
    /// reference as a whole needs no braces. Credentials cannot stand here as plain text.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub(super) headers: BTreeMap<String, String>,
    /// Longest wait for the whole answer. The run's own deadline holds as well.
    #[serde(default = "timeout")]
    #[schemars(extend("default" = "10s", "x-minimum" = "1ms", "x-maximum" = "10m"))]
    pub(super) timeout: Time,
    /// Largest answer, in bytes. A larger one is an error, never cut.
    #[serde(default = "response_bytes_max")]
    #[schemars(extend("default" = "256KiB", "x-minimum" = "1B", "x-maximum" = "16MiB"))]
    pub(super) response_bytes_max: Size,
    /// Whether the tool may reach loopback, private and link-local addresses. Decided on the address that is connected
    /// to, after name resolution.
    #[serde(default)]
    pub(super) allow_private: bool,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    /// Reads.
    #[default]
    Get,
    /// Acts, or creates.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// Whether arguments travel in a JSON body.
    pub(super) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    pub(super) fn as_http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }
}

fn timeout() -> Time {
    Time(Duration::from_secs(10))
}

fn response_bytes_max() -> Size {
    Size(256 << 10)
}

pub(super) fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}
