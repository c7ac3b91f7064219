//! `providers` and `tools`: one kind each, checked by the kind itself where its settings fit its schema.

use std::collections::BTreeMap;

use mainstay_core::plan::{Member, Model, Target};
use mainstay_core::{Fault, KindDef, Name, codes};
use serde_json::{Map, Value};

use super::{Implicit, Lowering, Named};
use crate::diagnostic::short;
use crate::{nearest, pointer, raw};

/// The provider (and its kind) that declared agents have in a spec without `providers` and `models`.
const IMPLICIT_PROVIDER: &str = "local";
/// Its model.
const IMPLICIT_TARGET: &str = "smollm2-135m-instruct";
/// The name that agents without a `model` ask for.
pub(super) const DEFAULT_MODEL: &str = "default";

impl Lowering<'_, '_> {
    pub(super) fn members(
        &mut self,
        section: &str,
        raw: BTreeMap<String, Map<String, Value>>,
        kinds: &[KindDef],
    ) -> Named<Member> {
        let mut members = Named::new();
        for (name, kind) in raw {
            let Some((kind, settings)) = kind.into_iter().next() else { continue };
            if let Some(def) = kinds.iter().find(|def| def.kind == kind) {
                self.check_kind(section, &name, def, &settings);
                self.check_names(section, &name, def, &settings);
            }
            if let Some(name) = Name::parse(&name) {
                members.insert(name, Member { kind, settings });
            }
        }
        members
    }

    /// Runs a kind's own check, which may count on its schema: settings with a fault are not shown to it.
    fn check_kind(&mut self, section: &str, name: &str, def: &KindDef, settings: &Value) {
        let written = self.inputs.root.entry(section).and_then(|section| section.node.entry(name));
        if written.is_some_and(|entry| self.faults.within(entry.span())) {
            return;
        }
        let base = pointer::join(&pointer::join(&format!("/{section}"), name), def.kind);
        for Fault { code, pointer, message, help } in (def.check)(settings) {
            let whole = format!("{base}{pointer}");
            if code == &codes::CONFIG_SECRET_LITERAL {
                self.faults.secrets.push(self.located(&whole).value);
            }
            if code == &codes::CONFIG_MISSING_KEY {
                self.fault_at_key(&whole, code, message, help);
            } else {
                self.fault(&whole, code, message, help);
            }
        }
    }

    /// Settings that name something of the spec (`x-names` in a kind's schema says of which section) name what is
    /// there.
    fn check_names(&mut self, section: &str, name: &str, def: &KindDef, settings: &Value) {
        let schema = (def.schema)();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let (Some(among), Some(wanted)) = (property["x-names"].as_str(), settings[key].as_str()) else {
                continue;
            };
            let known = self.defined(among);
            if known.iter().any(|known| known == wanted) {
                continue;
            }
            let help = match nearest::nearest(wanted, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define it under `{among}`"),
            };
            let noun = among.strip_suffix('s').unwrap_or(among);
            let place = pointer::join(&pointer::join(&format!("/{section}"), name), def.kind);
            let message = format!("there is no {noun} `{}`", short(wanted));
            self.fault(&pointer::join(&place, key), &codes::CONFIG_REFERENCE, message, Some(help));
        }
    }

    /// The provider and model of a spec that names none and has a declared agent to use them, if the registry has that
    /// kind. A service of apps alone must not pay for a model that nobody asked for.
    pub(super) fn implicit_model(&self) -> Option<Implicit> {
        let registered = self.inputs.kinds.providers.iter().any(|def| def.kind == IMPLICIT_PROVIDER);
        let named = !self.defined("providers").is_empty() || !self.defined("models").is_empty();
        if named || !registered || !self.has_declared_agent() {
            return None;
        }
        let provider = Name::parse(IMPLICIT_PROVIDER)?;
        let target = Target { provider: provider.clone(), model: IMPLICIT_TARGET.to_owned() };
        Some(Implicit {
            provider,
            member: Member { kind: IMPLICIT_PROVIDER.to_owned(), settings: Value::Object(Map::new()) },
            name: Name::parse(DEFAULT_MODEL)?,
            model: Model {
                targets: vec![target],
                first_byte_timeout: raw::first_byte_timeout().0,
                idle_timeout: raw::idle_timeout().0,
                max_tokens_default: raw::max_tokens_default(),
            },
        })
    }

    fn has_declared_agent(&self) -> bool {
        let agents = self.inputs.root.entry("agents").map(|entry| entry.node.entries()).unwrap_or_default();
        agents.iter().any(|agent| agent.node.entry("declared").is_some())
    }
}
