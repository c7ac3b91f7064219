//! `agents`.

use std::collections::BTreeMap;

use mainstay_core::plan::{Agent, AgentKind, AppPlan, Declared, Fallback, OnDisconnect, SessionPolicy};
use mainstay_core::{Name, codes};

use super::member::DEFAULT_MODEL;
use super::process::Written;
use super::{Lowering, Named};
use crate::{nearest, pointer, raw};

impl Lowering<'_, '_> {
    pub(super) fn agents(&mut self, raw: BTreeMap<String, raw::Agent>) -> Named<Agent> {
        let mut agents = Named::new();
        for (name, agent) in raw {
            let base = pointer::join("/agents", &name);
            if let (Some(agent), Some(name)) = (self.agent(&base, agent), Name::parse(&name)) {
                agents.insert(name, agent);
            }
        }
        agents
    }

    fn agent(&mut self, base: &str, raw: raw::Agent) -> Option<Agent> {
        let declared = raw.declared.map(|declared| self.declared(&format!("{base}/declared"), declared));
        let app = raw.app.map(|app| self.app(&format!("{base}/app"), app));
        let kind = match (declared, app) {
            (Some(declared), None) => AgentKind::Declared(declared?),
            (None, Some(app)) => AgentKind::App(app?),
            // The walk along the schema has reported it.
            (None, None) | (Some(_), Some(_)) => return None,
        };
        Some(Agent {
            kind,
            description: raw.description,
            sessions: policy(raw.sessions),
            concurrency_max: raw.concurrency_max,
            timeout: raw.timeout.0,
            on_disconnect: match raw.on_disconnect {
                raw::Disconnect::Continue => OnDisconnect::Continue,
                raw::Disconnect::Cancel => OnDisconnect::Cancel,
            },
            fallbacks: raw.fallback.into_iter().map(fallback).collect(),
        })
    }

    fn declared(&mut self, base: &str, raw: raw::Declared) -> Option<Declared> {
        let model = self.model_of(base, &raw.model);
        let known = self.defined("tools");
        let named = raw.tools.iter().enumerate();
        let tools: Vec<Option<Name>> = named
            .map(|(n, tool)| self.reference(&format!("{base}/tools/{n}"), "tool", tool, &known))
            .collect();
        let instructions = self.instructions(&format!("{base}/instructions"), raw.instructions);
        Some(Declared {
            model: model?,
            instructions: instructions?,
            tools: tools.into_iter().collect::<Option<_>>()?,
            steps_max: raw.steps_max,
            max_tokens: raw.max_tokens,
            temperature: raw.temperature,
            history_messages_max: raw.history_messages_max,
            parallel_tools_max: raw.parallel_tools_max,
        })
    }

    /// The model that an agent names, or the one called `default`.
    fn model_of(&mut self, base: &str, name: &str) -> Option<Name> {
        let mut known = self.defined("models");
        if self.implicit_model().is_some() {
            known.push(DEFAULT_MODEL.to_owned());
        }
        let pointer = format!("{base}/model");
        if self.given(&pointer) || known.iter().any(|model| model == name) {
            return self.reference(&pointer, "model", name, &known);
        }
        let list = nearest::among("there is", "there are", known.iter().map(String::as_str));
        let help = list.unwrap_or_else(|| "define one under `models`".to_owned());
        let message = "the agent names no `model`, and no model is called `default`";
        self.fault_at_key(base, &codes::CONFIG_MISSING_KEY, message, Some(help));
        None
    }

    fn app(&mut self, base: &str, raw: raw::App) -> Option<AppPlan> {
        let written = Written {
            url: raw.url,
            command: raw.command,
            env: raw.env,
            health_path: raw.health_path,
            start_timeout: raw.start_timeout,
        };
        Some(AppPlan {
            process: self.process(base, written)?,
            invoke_path: raw.invoke_path,
            stream_path: raw.stream_path,
            response_bytes_max: raw.response_bytes_max.0,
        })
    }
}

fn policy(raw: raw::Sessions) -> SessionPolicy {
    match raw {
        raw::Sessions::Reject => SessionPolicy::Reject,
        raw::Sessions::Interrupt => SessionPolicy::Interrupt,
        raw::Sessions::Enqueue { waiting_max } => SessionPolicy::Enqueue { waiting_max },
    }
}

fn fallback(raw: raw::Fallback) -> Fallback {
    Fallback { on: raw.on, answer: raw.answer, model: raw.model, finish_reason: raw.finish_reason }
}
