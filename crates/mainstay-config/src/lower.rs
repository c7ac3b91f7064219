//! From checked values to the plan: names are resolved, prompt files read, defaults that depend on other keys filled
//! in, and the kinds' own checks run. Reports every fault of meaning, at the value that means it.
//!
//! References are looked up among the names as written, so that a section with a fault does not make the references to
//! it faults too.

mod access;
mod agent;
mod app;
mod components;
mod deploy;
mod member;
mod model;
mod process;
mod prompt;
pub(crate) mod server;
mod url;

use std::collections::{BTreeMap, HashMap};

use mainstay_core::plan::Member;
use mainstay_core::resources::Resources;
use mainstay_core::{Code, Fault, Name, Plan, codes};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, short};
use crate::faults::Faults;
use crate::node::Node;
use crate::place::Span;
use crate::validate::{Checked, Located};
use crate::{Files, Kinds, Look, Overrides, Source, nearest, pointer, raw, resources};

/// What a plan is made from, beside the checked values.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) kinds: &'a Kinds<'a>,
    pub(crate) files: &'a dyn Files,
    pub(crate) overrides: &'a Overrides,
    pub(crate) look: Look<'a>,
    /// The tree as written.
    pub(crate) root: &'a Node,
}

/// What became of a spec.
#[derive(Default)]
pub(crate) struct Lowered {
    /// The plan, if nothing that it needs has a fault.
    pub(crate) plan: Option<Plan>,
    /// Faults of the resource files.
    pub(crate) faults: Vec<Diagnostics>,
    /// What may not be meant in them.
    pub(crate) warnings: Vec<Diagnostics>,
}

/// The plan, and what is said of the resource files. The faults say what else is wrong.
pub(crate) fn lower(inputs: Inputs<'_>, checked: Checked, faults: &mut Faults) -> Lowered {
    let Some(value) = checked.value else { return Lowered::default() };
    let spec: raw::Spec = match serde_json::from_value(value) {
        Ok(spec) => spec,
        Err(_) => {
            // The text of the error could quote a value.
            let message = "the spec fits its schema and still cannot be read, which is a fault of ours";
            faults.at(Span::default(), &codes::CONFIG_VALUE, message, None);
            return Lowered::default();
        }
    };
    let mut lowering = Lowering { inputs, places: checked.places, faults };
    let resources::Loaded { resources, faults, warnings } = lowering.components(spec.components.as_deref());
    let plan = lowering.plan(spec, resources);
    for Fault { code, pointer, message, help } in plan.iter().flat_map(|plan| (inputs.look)(plan)) {
        lowering.warn(&pointer, code, message, help);
    }
    Lowered { plan, faults, warnings }
}

struct Lowering<'a, 'f> {
    inputs: Inputs<'a>,
    places: HashMap<String, Located>,
    faults: &'f mut Faults,
}

impl Lowering<'_, '_> {
    fn plan(&mut self, spec: raw::Spec, resources: Resources) -> Option<Plan> {
        let sidecar = spec.components.as_ref().map(|_| self.sidecar(&spec.sidecar));
        let implicit = self.implicit_model();
        let access = self.access(spec.access);
        let server = self.server(spec.server, &access);
        let mut providers = self.members("providers", spec.providers, self.inputs.kinds.providers);
        let mut models = self.models(spec.models);
        let tools = self.members("tools", spec.tools, self.inputs.kinds.tools);
        let agents = self.agents(spec.agents);
        let apps = self.apps(spec.apps, spec.name.as_deref());
        let default_agent = self.default_agent(spec.default_agent.as_deref());
        let deploy = self.deploy(spec.deploy);
        if let Some(local) = implicit {
            providers.insert(local.provider, local.member);
            models.insert(local.name, local.model);
        }
        Some(Plan {
            name: Name::parse(&spec.name?)?,
            folder: self.inputs.source.folder.to_path_buf(),
            server: server?,
            access,
            data: self.data(spec.data),
            metrics: mainstay_core::plan::Metrics { aliases: spec.metrics.aliases },
            providers,
            models,
            tools,
            agents,
            default_agent,
            apps,
            resources,
            sidecar,
            deploy: deploy?,
        })
    }

    /// The names defined in a section, as written.
    fn defined(&self, section: &str) -> Vec<String> {
        let entries = self.inputs.root.entry(section).map(|entry| entry.node.entries()).unwrap_or_default();
        entries.iter().map(|entry| entry.key.clone()).collect()
    }

    fn default_agent(&mut self, given: Option<&str>) -> Option<Name> {
        let agents = self.defined("agents");
        match (given, agents.as_slice()) {
            (Some(name), _) => self.reference("/default_agent", "agent", name, &agents),
            (None, [only]) => Name::parse(only),
            (None, _) => None,
        }
    }

    /// A name that must be among `known`.
    fn reference(&mut self, pointer: &str, noun: &str, name: &str, known: &[String]) -> Option<Name> {
        if known.iter().any(|other| other == name) {
            return Name::parse(name);
        }
        let help = nearest::help(name, known.iter().map(String::as_str));
        let help = help.unwrap_or_else(|| format!("the spec defines no {noun}; define it under `{noun}s`"));
        self.fault(
            pointer,
            &codes::CONFIG_REFERENCE,
            format!("there is no {noun} `{}`", short(name)),
            Some(help),
        );
        None
    }

    /// A fault at the value of `pointer`.
    fn fault(
        &mut self,
        pointer: &str,
        code: &'static Code,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let span = self.spot(pointer);
        self.faults.at(span, code, message, help);
    }

    /// What may not be meant, at the value of `pointer`.
    fn warn(&mut self, pointer: &str, code: &'static Code, message: String, help: Option<String>) {
        let span = self.spot(pointer);
        self.faults.warn(span, code, message, help);
    }

    /// A fault at the key of `pointer`.
    fn fault_at_key(
        &mut self,
        pointer: &str,
        code: &'static Code,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let span = self.located(pointer).key;
        self.faults.at(span, code, message, help);
    }

    /// A fault of something that a flag or the environment said.
    fn fault_of_override(
        &mut self,
        origin: &'static str,
        code: &'static Code,
        message: String,
        help: Option<String>,
    ) {
        self.faults.add(Diagnostic { code, message, help, place: Place::Override(origin) });
    }

    /// What to underline for a value: the value, or its key when the value is a section of several lines.
    fn spot(&self, pointer: &str) -> Span {
        let Located { key, value } = self.located(pointer);
        let text = self.inputs.source.text.get(value.start..value.end).unwrap_or_default();
        if text.is_empty() || text.contains(['\n', '\r']) { key } else { value }
    }

    /// Where a value stands; where it was left to its default, the nearest section around it.
    fn located(&self, pointer: &str) -> Located {
        let mut at = Some(pointer);
        while let Some(pointer) = at {
            if let Some(found) = self.places.get(pointer) {
                return *found;
            }
            at = pointer::parent(pointer);
        }
        Located { key: Span::default(), value: Span::default() }
    }

    /// Whether the spec gives this key.
    fn given(&self, pointer: &str) -> bool {
        self.places.contains_key(pointer)
    }
}

/// What a spec without `providers` and `models` has.
struct Implicit {
    provider: Name,
    member: Member,
    name: Name,
    model: mainstay_core::plan::Model,
}

/// Named values of a section.
type Named<T> = BTreeMap<Name, T>;
