//! Checks components against the types that there are: known type, known version, no setting with a slip in its name,
//! and whatever the type itself has to say of its settings.

use mainstay_core::component::{Component, SettingValue};
use mainstay_core::{Fault, codes};

use super::component::Placed;
use super::placeholders;
use crate::diagnostic::short;
use crate::faults::Faults;
use crate::nearest;
use crate::place::Span;

/// A type of component.
#[derive(Clone, Copy, Debug)]
pub struct TypeDef<'a> {
    /// Its name, e.g. `state.embedded`. Names are compared without regard to case.
    pub kind: &'a str,
    /// Other names for it.
    pub aliases: &'a [&'a str],
    /// The versions of its settings, the present one first.
    pub versions: &'a [&'a str],
    /// Its settings; none where it takes any.
    pub settings: &'a [SettingName<'a>],
}

/// A setting of a type.
#[derive(Clone, Copy, Debug)]
pub struct SettingName<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is a secret: then it is never shown.
    pub secret: bool,
}

/// Checks the settings of a component of a type. A setting's value is `None` where it is not known yet: it is a secret
/// or a variable, or has placeholders. Last come the names of the spec's models, `None` where there is no spec. A
/// fault's pointer is a setting's name.
pub type Check<'a> = &'a dyn Fn(&str, &[(&str, Option<&str>)], Option<&[String]>) -> Vec<Fault>;

/// The types that there are.
#[derive(Clone, Copy)]
pub struct Types<'a> {
    /// The types, those of plugged-in components among them.
    pub types: &'a [TypeDef<'a>],
    /// Checks settings.
    pub check: Check<'a>,
}

impl std::fmt::Debug for Types<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Types").field("types", &self.types).finish_non_exhaustive()
    }
}

impl TypeDef<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.kind).chain(self.aliases.iter().copied())
    }

    fn has_version(&self, version: &str) -> bool {
        // No version, and the one before the first, mean the first.
        let first = |version: &str| version.is_empty() || matches!(version, "v0" | "V0" | "v1" | "V1");
        self.versions.iter().any(|own| own.eq_ignore_ascii_case(version) || (first(own) && first(version)))
    }
}

/// Checks one component.
pub(super) fn check(placed: &Placed, types: &Types<'_>, models: Option<&[String]>, faults: &mut Faults) {
    let component = &placed.component;
    let known =
        types.types.iter().find(|def| def.names().any(|name| name.eq_ignore_ascii_case(&component.kind)));
    let Some(def) = known else {
        let message = format!("there is no component type `{}`", short(&component.kind));
        faults.at(placed.kind, &codes::CONFIG_REFERENCE, message, near_types(&component.kind, types.types));
        return;
    };
    if !def.has_version(&component.version) {
        let message = format!("there is no version `{}` of `{}`", short(&component.version), def.kind);
        let help = nearest::among("the only version is", "the versions are", def.versions.iter().copied());
        faults.at(placed.version, &codes::CONFIG_REFERENCE, message, help);
        return;
    }
    names(placed, def, faults);
    let settings: Vec<(&str, Option<&str>)> = component
        .settings
        .iter()
        .map(|setting| (setting.name.as_str(), known_text(&setting.value)))
        .collect();
    let found = (types.check)(def.kind, &settings, models);
    missing(placed, def, &found, faults);
    for Fault { code, pointer, message, help } in found {
        let span = place(placed, &pointer).map_or(placed.kind, |(_, value)| value);
        faults.at(span, code, message, help);
    }
}

/// Required settings that are not there, where the type itself has not found that.
fn missing(placed: &Placed, def: &TypeDef<'_>, found: &[Fault], faults: &mut Faults) {
    let told = |name: &str| found.iter().any(|fault| fault.pointer.eq_ignore_ascii_case(name));
    for required in def.settings.iter().filter(|setting| setting.required && !told(setting.name)) {
        if place(placed, required.name).is_none() {
            let kind = &placed.component.kind;
            let message = format!("a component of type `{kind}` needs the setting `{}`", required.name);
            let help = format!("add `- name: {}` with its value to `spec.metadata`", required.name);
            faults.at(placed.kind, &codes::CONFIG_MISSING_KEY, message, Some(help));
        }
    }
}

fn known_text(value: &SettingValue) -> Option<&str> {
    match value {
        SettingValue::Text(text) if !placeholders::has_any(text) => Some(text),
        _ => None,
    }
}

/// Where the setting of a name stands.
fn place(placed: &Placed, name: &str) -> Option<(Span, Span)> {
    let settings = placed.component.settings.iter();
    let at = settings.clone().position(|setting| setting.name == name);
    let at = at.or_else(|| settings.clone().position(|setting| setting.name.eq_ignore_ascii_case(name)))?;
    placed.settings.get(at).copied()
}

/// Secrets are hidden, and slips in names found: what no name is near to may be meant for another
/// runtime, and is passed over in silence.
fn names(placed: &Placed, def: &TypeDef<'_>, faults: &mut Faults) {
    let Component { settings, kind, .. } = &placed.component;
    for (setting, (name, value)) in settings.iter().zip(&placed.settings) {
        let known = def.settings.iter().find(|known| known.name.eq_ignore_ascii_case(&setting.name));
        match known {
            Some(known) if known.secret && matches!(setting.value, SettingValue::Text(_)) => {
                faults.secrets.push(*value)
            }
            Some(_) => {}
            None if faults.warned_enough() => {}
            None => {
                let near = nearest::nearest(&setting.name, def.settings.iter().map(|known| known.name));
                if let Some(near) = near {
                    let message =
                        format!("`{}` is no setting of `{kind}`, and is ignored", short(&setting.name));
                    let help = format!("did you mean `{near}`?");
                    faults.warn(*name, &codes::CONFIG_UNKNOWN_KEY, message, Some(help));
                }
            }
        }
    }
}

/// The known types nearest to one that is not: one that is near, else those of the same building block, else the
/// blocks.
fn near_types(kind: &str, types: &[TypeDef<'_>]) -> Option<String> {
    let names = || types.iter().flat_map(TypeDef::names);
    if let Some(near) = nearest::nearest(kind, names()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let block = |name: &str| name.split_once('.').map_or(name, |(block, _)| block).to_lowercase();
    let own = block(kind);
    let of_block: Vec<&str> = types.iter().map(|def| def.kind).filter(|name| block(name) == own).collect();
    if let Some(list) = nearest::choices(of_block) {
        return Some(format!("the types of `{}` are {list}", short(&own)));
    }
    let mut blocks: Vec<String> = types.iter().map(|def| block(def.kind)).collect();
    blocks.sort();
    blocks.dedup();
    if let Some(near) = nearest::nearest(&own, blocks.iter().map(String::as_str)) {
        return Some(format!("did you mean a type of `{near}`?"));
    }
    nearest::choices(blocks.iter().map(String::as_str)).map(|list| format!("types begin with one of {list}"))
}
