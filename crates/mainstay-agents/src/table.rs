//! What the spec configures of agents, and what the engine keeps beside it: seats and the tools' compiled schemas.
//! Builds no tool and no app: those come ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::app::App;
use mainstay_core::plan::{Agent, AgentKind, Declared};
use mainstay_core::tool::ToolSource;
use mainstay_core::{Ctx, Error, Name, Result, codes};
use tokio::sync::OnceCell;

use crate::admission::Seats;
use crate::tools::Catalog;

/// The agents of a spec. Swapped whole on reload.
#[derive(Clone, Default)]
pub struct Table {
    /// The agents by name.
    pub agents: BTreeMap<Name, Entry>,
    /// The agent behind the routes that name none.
    pub default_agent: Option<Name>,
}

/// An agent and what it works with.
#[derive(Clone)]
pub struct Entry {
    /// Its plan.
    pub agent: Agent,
    /// The sources of the tools that a declared agent names.
    pub tools: BTreeMap<Name, Arc<dyn ToolSource>>,
    /// The app of an app agent.
    pub app: Option<Arc<dyn App>>,
}

/// A table at work.
pub(crate) struct Roster {
    pub(crate) table: Arc<Table>,
    agents: BTreeMap<Name, Arc<Enrolled>>,
}

/// An agent at work. Runs hold the one they started with.
pub(crate) struct Enrolled {
    pub(crate) name: Name,
    pub(crate) entry: Entry,
    pub(crate) seats: Arc<Seats>,
    catalog: OnceCell<Arc<Catalog>>,
}

impl Roster {
    /// Puts a table to work. Agents that `former` knows keep their seats.
    pub(crate) fn new(table: Table, former: Option<&Roster>) -> Self {
        let enrol = |(name, entry): (&Name, &Entry)| {
            let max = entry.agent.concurrency_max;
            let seats = match former.and_then(|roster| roster.agents.get(name)) {
                Some(known) => {
                    known.seats.resize(max);
                    known.seats.clone()
                }
                None => Seats::new(max),
            };
            let enrolled =
                Enrolled { name: name.clone(), entry: entry.clone(), seats, catalog: OnceCell::new() };
            (name.clone(), Arc::new(enrolled))
        };
        let agents = table.agents.iter().map(enrol).collect();
        Self { table: Arc::new(table), agents }
    }

    /// The agent called `name`. Errors: `AGENT_NOT_FOUND`.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Enrolled>> {
        self.agents.get(name).cloned().ok_or_else(|| {
            let known: Vec<String> = self.agents.keys().map(|name| format!("`{name}`")).collect();
            Error::new(&codes::AGENT_NOT_FOUND, format!("no agent is called `{}`", printable(name)))
                .with_help(format!("the agents are: {}", known.join(", ")))
        })
    }

    /// The agent meant: the one named, else the default. Errors: `AGENT_NOT_FOUND`.
    pub(crate) fn resolve(&self, name: Option<&str>) -> Result<Name> {
        match (name, &self.table.default_agent) {
            (Some(name), _) => Ok(self.find(name)?.name.clone()),
            (None, Some(default)) => Ok(self.find(default.as_str())?.name.clone()),
            (None, None) => Err(Error::new(&codes::AGENT_NOT_FOUND, "the spec has no default agent")
                .with_help("name the agent: `/v1/agents/{agent}/invoke`")),
        }
    }
}

impl Enrolled {
    /// The tools of a declared agent: listed and compiled by its first run, then kept until the next reload. A
    /// failure is not kept. Errors: `TOOL_UNAVAILABLE`, `TOOL_NOT_FOUND`.
    pub(crate) async fn catalog(&self, ctx: &Ctx) -> Result<Arc<Catalog>> {
        let list = || async {
            let sources = self.declared()?.tools.iter().map(|name| {
                let source = self.entry.tools.get(name).cloned();
                source.ok_or_else(|| {
                    Error::bug(format!("tool `{name}` of agent `{}` has no source", self.name))
                })
            });
            Catalog::list(ctx, sources.collect::<Result<_>>()?).await.map(Arc::new)
        };
        self.catalog.get_or_try_init(list).await.cloned()
    }

    /// The plan of a declared agent.
    pub(crate) fn declared(&self) -> Result<&Declared> {
        match &self.entry.agent.kind {
            AgentKind::Declared(declared) => Ok(declared),
            AgentKind::App(_) => Err(Error::bug(format!("agent `{}` is not a declared one", self.name))),
        }
    }
}

/// What a caller wrote, fit to be shown in a message: bounded, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(Name::BYTES_MAX).collect()
}
