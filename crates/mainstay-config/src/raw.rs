//! The spec as written: one type a section. Their doc comments are the reference page; defaults and bounds stand beside
//! them and are what the schema, the reference and the check read, so the three cannot differ.
//!
//! Nothing is resolved here: names are text, prompt files are paths.

mod access;
mod agent;
mod app;
mod deploy;
mod model;
mod server;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use access::{Access, Anonymous, Key};
pub(crate) use agent::{Agent, App, Declared, Disconnect, Fallback, Sessions};
pub(crate) use app::OpenApp;
pub(crate) use deploy::{Deploy, FilePatch, Language, Op, Pace, Route, Scaler, Sizing, Terraform};
pub(crate) use model::{Model, first_byte_timeout, idle_timeout, max_tokens_default};
pub(crate) use server::{Data, Metrics, Server, Sidecar};

/// The pattern of a name; the same as [`mainstay_core::Name::parse`] accepts.
pub(crate) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// The whole of `mainstay.yaml`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The service's name. It stands in logs, metrics and the API's description.
    #[schemars(required, extend("x-form" = "name"), regex(pattern = NAME))]
    pub(crate) name: Option<String>,
    /// The public listener and its bounds.
    #[serde(default)]
    pub(crate) server: Server,
    /// Who may call.
    #[serde(default)]
    pub(crate) access: Access,
    /// Where runs are kept and for how long.
    #[serde(default)]
    pub(crate) data: Data,
    /// What `/metrics` shows.
    #[serde(default)]
    pub(crate) metrics: Metrics,
    /// Endpoints that serve models, by a name of your choice: exactly one kind each. Without `providers` and `models`,
    /// declared agents have the provider `local` and the model `default`, a small model that runs inside the process.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100, "propertyNames" = names()))]
    pub(crate) providers: BTreeMap<String, Map<String, Value>>,
    /// Models, by the names that agents and callers ask for.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 1000, "propertyNames" = names()))]
    pub(crate) models: BTreeMap<String, Model>,
    /// Tools, by the names that agents list: exactly one kind each.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 1000, "propertyNames" = names()))]
    pub(crate) tools: BTreeMap<String, Map<String, Value>>,
    /// Agents, by the names in their routes (`/v1/agents/NAME/invoke`).
    #[serde(default)]
    #[schemars(extend("maxProperties" = 1000, "propertyNames" = names()))]
    pub(crate) agents: BTreeMap<String, Agent>,
    /// Services of yours that are no agents, by the names they have for each other. No agent has the name of one.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100, "propertyNames" = names()))]
    pub(crate) apps: BTreeMap<String, OpenApp>,
    /// The folder of resource files, relative to the spec's folder: components, subscriptions, resiliency, HTTP
    /// endpoints and configuration, as files for Dapr say them, unchanged. Files directly in it that end in `.yaml` or
    /// `.yml` are read, in the order of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) components: Option<String>,
    /// Where the building blocks are served to the app of the agents, if there are `components`.
    #[serde(default)]
    pub(crate) sidecar: Sidecar,
    /// How the service is shipped.
    #[serde(default)]
    pub(crate) deploy: Deploy,
    /// The agent behind the routes that name none (`/v1/invoke`, `/invoke`, …). A single agent is the default one
    /// anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-form" = "name"), regex(pattern = NAME))]
    pub(crate) default_agent: Option<String>,
}

/// What the keys of a map of named things look like.
fn names() -> Value {
    serde_json::json!({ "pattern": NAME, "x-form": "name" })
}
