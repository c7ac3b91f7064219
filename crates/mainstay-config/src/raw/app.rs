//! `apps`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::{health_path, start_timeout, variables};
use crate::quantity::Time;

/// A service of yours that is no agent. It is started, watched and stopped as the app of an agent is, has the building
/// blocks under its own name, and answers callers below the routes that it opens.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenApp {
    /// What it is for, shown in the docs of the API.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub(crate) description: String,
    /// Its base URL, `http` or `https`.
    #[schemars(extend("x-form" = "url", "examples" = ["http://127.0.0.1:8000"]))]
    pub(crate) url: String,
    /// The command that starts it, run by `sh -c` in the spec's folder. Without it the service is expected to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) command: Option<String>,
    /// Variables added to the command's environment: text, or a reference to a secret (`env:NAME`, `file:PATH`). A
    /// variable that the spec takes a secret from is not inherited, so list it here if the command needs it.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 200, "propertyNames" = variables()))]
    pub(crate) env: BTreeMap<String, String>,
    /// Path that answers 2xx when the service can work.
    #[serde(default = "health_path")]
    #[schemars(extend("x-form" = "path"), regex(pattern = "^/[!-~]*$"))]
    pub(crate) health_path: String,
    /// How long it may take to become healthy.
    #[serde(default = "start_timeout")]
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
    pub(crate) start_timeout: Time,
    /// Paths of the public port that callers may ask, each with everything below it, in any method: `/tasks` is also
    /// `/tasks/7`, and not `/tasks7`. The longest one that fits decides. None without it: the service is then reached
    /// by the other apps alone.
    #[serde(default)]
    #[schemars(length(max = 100), extend("uniqueItems" = true, "items" = route()))]
    pub(crate) routes: Vec<String>,
    /// Longest answer to a caller, streams included. Its head must come within `server.request_timeout`.
    #[serde(default = "timeout")]
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "7d"))]
    pub(crate) timeout: Time,
}

fn timeout() -> Time {
    Time::seconds(600)
}

fn route() -> serde_json::Value {
    serde_json::json!({ "type": "string", "maxLength": 256, "examples": ["/tasks", "/shop/orders"] })
}
