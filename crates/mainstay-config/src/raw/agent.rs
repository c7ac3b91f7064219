//! `agents`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::quantity::{Size, Time};

/// An agent: exactly one of `declared` and `app`, and how its runs are kept in bounds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["declared"] }, { "required": ["app"] }]))]
pub(crate) struct Agent {
    /// What it is for, shown in the docs of the API.
    #[schemars(length(max = 1024))]
    pub(crate) description: String,
    /// An agent that runs in this process, from instructions, a model and tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declared: Option<Declared>,
    /// An agent that is your own HTTP service, in any language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<App>,
    /// What happens when a message comes while its session is busy.
    #[schemars(extend("default" = "enqueue"))]
    pub(crate) sessions: Sessions,
    /// Runs of this agent at work at once; further ones are refused with 503.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) concurrency_max: u32,
    /// Longest run.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "7d"))]
    pub(crate) timeout: Time,
    /// What becomes of a run whose caller goes away before its end.
    pub(crate) on_disconnect: Disconnect,
    /// Answers to give when the provider fails in a known way; the first that fits is used.
    #[schemars(length(max = 32))]
    pub(crate) fallback: Vec<Fallback>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            description: String::new(),
            declared: None,
            app: None,
            sessions: Sessions::default(),
            concurrency_max: 1024,
            timeout: Time::seconds(600),
            on_disconnect: Disconnect::Continue,
            fallback: Vec::new(),
        }
    }
}

/// An agent that runs in this process.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Declared {
    /// The model it asks, by its name in `models`.
    #[schemars(extend("x-form" = "name"), regex(pattern = NAME))]
    pub(crate) model: String,
    /// Its instructions: the text itself, or the path of a `.md` or `.txt` file in the spec's folder (up to 256 KiB).
    #[schemars(extend("x-form" = "prompt"))]
    pub(crate) instructions: String,
    /// Tools it may call, by their names in `tools`.
    #[schemars(length(max = 128), extend("uniqueItems" = true))]
    pub(crate) tools: Vec<String>,
    /// Most model calls in a run.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) steps_max: u32,
    /// Output tokens of a model call. The provider's own bound without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_tokens: Option<u32>,
    /// Sampling temperature. The provider's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(crate) temperature: Option<f64>,
    /// Messages of the session's past that the model sees, the newest ones.
    #[schemars(range(max = 10_000))]
    pub(crate) history_messages_max: u32,
    /// Tool calls of one step that run at once.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) parallel_tools_max: u32,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            model: "default".to_owned(),
            instructions: String::new(),
            tools: Vec::new(),
            steps_max: 8,
            max_tokens: None,
            temperature: None,
            history_messages_max: 100,
            parallel_tools_max: 8,
        }
    }
}

/// An agent that is your own HTTP service.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
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
    /// Path of the call that answers whole.
    #[serde(default = "invoke_path")]
    #[schemars(extend("x-form" = "path"), regex(pattern = "^/[!-~]*$"))]
    pub(crate) invoke_path: String,
    /// Path of the call that streams. The invoke path without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-form" = "path"), regex(pattern = "^/[!-~]*$"))]
    pub(crate) stream_path: Option<String>,
    /// Path that answers 2xx when the service can work.
    #[serde(default = "health_path")]
    #[schemars(extend("x-form" = "path"), regex(pattern = "^/[!-~]*$"))]
    pub(crate) health_path: String,
    /// How long it may take to become healthy.
    #[serde(default = "start_timeout")]
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
    pub(crate) start_timeout: Time,
    /// Largest answer, whole or one event of a stream, in bytes.
    #[serde(default = "response_bytes_max")]
    #[schemars(extend("x-minimum" = "1KiB", "x-maximum" = "256MiB"))]
    pub(crate) response_bytes_max: Size,
}

pub(super) fn variables() -> serde_json::Value {
    serde_json::json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$", "x-form": "variable" })
}

fn invoke_path() -> String {
    "/invoke".to_owned()
}

pub(super) fn health_path() -> String {
    "/health".to_owned()
}

pub(super) fn start_timeout() -> Time {
    Time::seconds(60)
}

fn response_bytes_max() -> Size {
    Size(16 << 20)
}

/// What happens when a message comes while its session is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Sessions {
    /// The new message is refused with 409.
    Reject,
    /// The run at work is cancelled and the new one takes its place.
    Interrupt,
    /// The new message waits its turn.
    Enqueue {
        /// Messages of one session that may wait; further ones are refused with 409.
        #[serde(default = "waiting_max")]
        #[schemars(range(min = 1, max = 10_000))]
        waiting_max: u32,
    },
}

impl Default for Sessions {
    fn default() -> Self {
        Self::Enqueue { waiting_max: waiting_max() }
    }
}

fn waiting_max() -> u32 {
    16
}

/// What becomes of a run whose caller goes away before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Disconnect {
    /// It goes on; the caller can come back to its events.
    Continue,
    /// It is cancelled, and so are its model and tool calls.
    Cancel,
}

/// An answer for when the provider fails in a known way.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fallback {
    /// Error codes it answers for.
    #[schemars(length(min = 1, max = 32), extend("uniqueItems" = true, "items" = provider_codes()))]
    pub(crate) on: Vec<String>,
    /// The answer.
    #[schemars(length(min = 1, max = 65_536))]
    pub(crate) answer: String,
    /// The model name to report.
    #[serde(default = "fallback_word")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) model: String,
    /// The finish reason to report.
    #[serde(default = "fallback_word")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) finish_reason: String,
}

fn fallback_word() -> String {
    "fallback".to_owned()
}

/// The codes of provider failures.
fn provider_codes() -> serde_json::Value {
    let codes = mainstay_core::codes::ALL.iter().map(|code| code.id).filter(|id| id.starts_with("PROVIDER_"));
    serde_json::json!({ "type": "string", "enum": codes.collect::<Vec<_>>() })
}
