//! The components as objects of a cluster.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use mainstay_core::component::{Component, SettingValue};
use mainstay_core::{Error, Plan, Result, codes};

use crate::label::{KUBERNETES_MAX, slug};
use crate::stores::backend;
use crate::targets::kubernetes::namespace_name;
use crate::value::dense;
use crate::workload::Workload;

/// Backends of Mainstay's own, which are inside its process.
pub(in crate::targets) const INSIDE: [&str; 2] = ["embedded", "mainstay"];

/// What became of the resources.
pub(super) struct Found {
    /// The components, each with the name of its file.
    pub(super) objects: Vec<(String, Value)>,
    /// What is not among them.
    pub(super) notes: Vec<String>,
}

/// The components that the app may use. Errors: `SHIP_UNSUPPORTED` for a type that Dapr does not have.
pub(super) fn of(plan: &Plan, workload: &Workload, app_id: &str) -> Result<Found> {
    let (mut objects, mut notes) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    let mut has_text = false;
    for component in &plan.resources.components {
        let Component { name, kind, .. } = component;
        if INSIDE.contains(&backend(kind)) {
            let message = format!("component `{name}` is of the type `{kind}`, which is inside Mainstay");
            return Err(Error::new(&codes::SHIP_UNSUPPORTED, message)
                .with_help("give it a type that Dapr has, or ship without the target `dapr`"));
        }
        if !mainstay_core::component::admits(&component.scopes, super::id(plan).as_str()) {
            notes.push(format!("Component `{name}` is for other apps and is left to them."));
            continue;
        }
        has_text |= component.settings.iter().any(|setting| matches!(setting.value, SettingValue::Text(_)));
        // Two namespaces may each have one of this name; here there is one namespace.
        if !names.insert(name.clone()) {
            notes.push(format!("There are several components `{name}`; the first is taken."));
            continue;
        }
        objects.push((slug(name, KUBERNETES_MAX), object(component, workload, app_id)));
    }
    if has_text {
        notes.push("What component files hold in plain is in the objects in plain, too.".to_owned());
    }
    let resources = &plan.resources;
    for (kind, count) in [
        ("subscriptions", resources.subscriptions.len()),
        ("policies of resiliency", resources.resiliencies.len()),
        ("external services", resources.http_endpoints.len()),
    ] {
        if count > 0 {
            notes.push(format!("Files of {kind} are objects as they are: apply them yourself."));
        }
    }
    Ok(Found { objects, notes })
}

fn object(component: &Component, workload: &Workload, app_id: &str) -> Value {
    let mut of_platform = false;
    let mut settings = Vec::new();
    for setting in &component.settings {
        let name = &setting.name;
        settings.push(match &setting.value {
            SettingValue::Text(text) => json!({ "name": name, "value": text }),
            SettingValue::Secret { name: secret, key } => {
                json!({ "name": name, "secretKeyRef": { "name": secret, "key": key } })
            }
            SettingValue::Env(variable) => match workload.variables.get(variable) {
                Some(value) => json!({ "name": name, "value": value }),
                None => {
                    of_platform = true;
                    let reference = json!({ "name": workload.secret_name(), "key": variable });
                    json!({ "name": name, "secretKeyRef": reference })
                }
            },
        });
    }
    // Where a variable held it, the cluster's secret does.
    let store = component.secret_store.as_deref().or(of_platform.then_some("kubernetes"));
    let version = if component.version.is_empty() { "v1" } else { &component.version };
    dense(json!({
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": { "name": component.name, "namespace": namespace_name(workload) },
        "auth": store.map(|store| json!({ "secretStore": store })),
        "scopes": [app_id],
        "spec": {
            "type": component.kind,
            "version": version,
            "initTimeout": format!("{}s", component.init_timeout.as_secs().max(1)),
            "ignoreErrors": component.ignore_errors.then_some(true),
            "metadata": settings,
        },
    }))
}
