//! Components. What type they are and what their settings mean is checked against the registry (`registry`).

use std::time::Duration;

use mainstay_core::component::{Component, Setting};
use mainstay_core::{codes, duration};

use super::head::{BESIDE_SPEC, Head};
use super::section::{Said, Section};
use super::values::{self, Written};
use crate::diagnostic::short;
use crate::node::{Node, Value};
use crate::place::Span;

/// How long opening a component may take, where its file does not say.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A component, and where its parts stand.
pub(super) struct Placed {
    pub(super) component: Component,
    pub(super) name: Span,
    pub(super) kind: Span,
    pub(super) version: Span,
    /// The places of settings, in their order.
    pub(super) settings: Vec<(Span, Span)>,
}

/// Reads a component; `None` when it lacks what it cannot be without.
pub(super) fn read(head: Head, document: &Section<'_, '_>, spec: Option<Section<'_, '_>>) -> Option<Placed> {
    let name = super::needed_name(&head, document, "what the app calls it by");
    let Some(mut spec) = spec else {
        super::lacks_spec(document, "a component has its type and settings there");
        return None;
    };
    let kind = spec.required_text("type", "the building block and the backend, e.g. `state.redis`");
    let version = spec.text("version");
    let ignore_errors = spec.flag("ignoreErrors").unwrap_or(false);
    let init_timeout = spec.text("initTimeout").and_then(|said| init_timeout(&spec, &said));
    let settings = values::settings(&mut spec, "metadata");
    spec.finish_beside(&BESIDE_SPEC);
    let (name, kind) = (name?, kind?);
    Some(Placed {
        name: name.span,
        kind: kind.span,
        version: version.as_ref().map_or(kind.span, |said| said.span),
        settings: settings.iter().map(|written| (written.name, written.value)).collect(),
        component: Component {
            name: name.value,
            namespace: head.namespace,
            kind: kind.value,
            version: version.map(|said| said.value).unwrap_or_default(),
            settings: settings.into_iter().map(|Written { setting, .. }| setting).collect::<Vec<Setting>>(),
            secret_store: head.secret_store,
            scopes: head.scopes,
            ignore_errors,
            init_timeout: init_timeout.unwrap_or(INIT_TIMEOUT),
            origin: String::new(),
        },
    })
}

/// Whether a component says that the process is to go on without it, whatever else is wrong with it.
pub(super) fn ignores_errors(root: &Node) -> bool {
    let inside = |node: &Node, key: &str| {
        let entry = node.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case(key))?;
        Some(entry.node.clone())
    };
    let said = inside(root, "spec").and_then(|spec| inside(&spec, "ignoreErrors"));
    said.is_some_and(|said| said.value == Value::Bool(true))
}

/// What is no duration, or none that anything can be done in, is passed over for the default, as there.
fn init_timeout(spec: &Section<'_, '_>, said: &Said<String>) -> Option<Duration> {
    let time = duration::parse(&said.value).filter(|time| !time.is_zero());
    if time.is_none() {
        let message = format!("`spec.initTimeout` cannot be `{}`, and is ignored", short(&said.value));
        let help = "write it like `5s`, `1m30s`; without one it is 5 seconds".to_owned();
        spec.warn(said.span, &codes::CONFIG_VALUE, message, Some(help));
    }
    time
}
