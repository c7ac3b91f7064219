//! The Plan: the whole validated configuration. A value of these types is valid by construction of the config crate.
//!
//! Settings of providers and tools are opaque here: their adapters own them.

mod access;
mod agent;
mod app;
mod deploy;
mod model;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

pub use access::{Access, Anonymous, Key};
pub use agent::{Agent, AgentKind, AppPlan, Declared, Fallback, OnDisconnect, SessionPolicy};
pub use app::{App, EnvValue, Process, RESERVED};
pub use deploy::{Deploy, Environment, FilePatch, Language, Pace, Route, Scaler, Sizing};
pub use model::{Model, Target};
pub use server::{Data, Metrics, Server, Sidecar};

use crate::Name;
use crate::resources::Resources;

/// Everything that a running Mainstay is configured to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The service's name.
    pub name: Name,
    /// The folder of the spec; relative paths in it start here.
    pub folder: PathBuf,
    /// The public listener and its bounds.
    pub server: Server,
    /// Who may call.
    pub access: Access,
    /// Where runs are kept and for how long.
    pub data: Data,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Model vendors' endpoints.
    pub providers: BTreeMap<Name, Member>,
    /// Names that agents and callers ask for.
    pub models: BTreeMap<Name, Model>,
    /// Tools that agents may be given.
    pub tools: BTreeMap<Name, Member>,
    /// The agents.
    pub agents: BTreeMap<Name, Agent>,
    /// The agent behind the routes that name none.
    pub default_agent: Option<Name>,
    /// The services that are no agents. None has an agent's name.
    pub apps: BTreeMap<Name, App>,
    /// What the resource files say: components, subscriptions and the rest.
    pub resources: Resources,
    /// Where the building blocks are served to the apps; `None` where the spec names no components.
    pub sidecar: Option<Sidecar>,
    /// How it is shipped.
    pub deploy: Deploy,
}

impl Plan {
    /// The user's own services, those of agents first, each by its name.
    pub fn processes(&self) -> impl Iterator<Item = (&Name, &Process)> {
        let of_agents = self.agents.iter().filter_map(|(name, agent)| match &agent.kind {
            AgentKind::App(app) => Some((name, &app.process)),
            AgentKind::Declared(_) => None,
        });
        of_agents.chain(self.apps.iter().map(|(name, app)| (name, &app.process)))
    }
}

/// A configured member of a registry: its kind and that kind's own settings (already checked by its schema and its
/// pure `parse`).
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The kind, as registered (e.g. of provider).
    pub kind: String,
    /// The settings as JSON.
    pub settings: Value,
}
