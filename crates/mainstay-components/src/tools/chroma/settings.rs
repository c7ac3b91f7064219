//! Settings of a `chroma` tool, and their schema. What a schema cannot say is in `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::tools::http::quantity::{Size, Time};

/// Settings of a tool that looks a question up in a collection.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// What is in the collection, for the model: when to look there.
    #[schemars(length(min = 1, max = 8192))]
    pub(super) description: String,
    /// The server's address, `http` or `https`, without a path of the API.
    #[schemars(length(min = 1, max = 4096), extend("examples" = ["http://chroma:8000"]))]
    pub(super) url: String,
    /// The collection's name.
    #[schemars(length(min = 1, max = 512))]
    pub(super) collection: String,
    /// The tenant that it belongs to.
    #[serde(default = "tenant")]
    #[schemars(length(min = 1, max = 512))]
    pub(super) tenant: String,
    /// The database that it is in.
    #[serde(default = "database")]
    #[schemars(length(min = 1, max = 512))]
    pub(super) database: String,
    /// The model that questions are embedded with, by its name in `models`: the one that the collection was filled
    /// with.
    #[schemars(length(min = 1, max = 63), extend("x-names" = "models"))]
    pub(super) model: String,
    /// Numbers in a vector, where the collection has fewer than the model gives by itself.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65_536))]
    pub(super) dimensions: Option<u32>,
    /// Most passages that the model is shown, the nearest first.
    #[serde(default = "passages_max")]
    #[schemars(extend("default" = 4), range(min = 1, max = 100))]
    pub(super) passages_max: u32,
    /// Passages that are farther from the question than this are left out. The measure is the collection's own: with
    /// `cosine`, 0 is the same direction and 1 has nothing in common.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub(super) distance_max: Option<f64>,
    /// Only passages whose metadata fit this filter of Chroma's, e.g. `{ product: kettle }`.
    #[serde(default, rename = "where")]
    pub(super) filter: Option<Map<String, Value>>,
    /// Headers to send, with secrets by reference as those of an `http` tool, e.g. `x-chroma-token:
    /// "env:CHROMA_TOKEN"`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub(super) headers: BTreeMap<String, String>,
    /// Longest wait for the passages, the embedding of the question included. The run's own deadline holds as well.
    #[serde(default = "timeout")]
    #[schemars(extend("default" = "10s", "x-minimum" = "1ms", "x-maximum" = "10m"))]
    pub(super) timeout: Time,
    /// Largest answer of the server, in bytes. A larger one is an error, never cut.
    #[serde(default = "response_bytes_max")]
    #[schemars(extend("default" = "256KiB", "x-minimum" = "1KiB", "x-maximum" = "16MiB"))]
    pub(super) response_bytes_max: Size,
    /// Whether the server may be at a loopback, private or link-local address, as one beside the service is. Decided on
    /// the address that is connected to, after name resolution.
    #[serde(default)]
    pub(super) allow_private: bool,
}

fn tenant() -> String {
    "default_tenant".to_owned()
}

fn database() -> String {
    "default_database".to_owned()
}

fn passages_max() -> u32 {
    4
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
