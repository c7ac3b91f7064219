//! What is set, where it comes from, and that no secret stands in it.

use std::collections::BTreeSet;
use std::path::Path;

use mainstay_core::component::SettingValue;
use serde_json::Value;

use super::subject::{Subject, named};
use super::{Finding, Item, Place, Rule, Verdict};
use super::{literals, terraform};

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::gate(
            "config/no-secrets",
            "no secret stands in the project's files",
            "put it into an environment variable or a secret store, refer to it, and replace it at its issuer",
        ),
        judge: no_secrets,
    },
    Rule {
        item: Item::gate(
            "config/component-secrets",
            "components refer to their secrets",
            "give the setting a `secretKeyRef` or an `envRef`, and replace the secret where it was issued",
        ),
        judge: component_secrets,
    },
    Rule {
        item: Item::gate(
            "config/secret-objects",
            "no secret's value is written by what deploys",
            "leave `kind: Secret` and its values to the cluster, a vault or an operator, and refer to them",
        ),
        judge: secret_objects,
    },
    Rule {
        item: Item::new(
            "config/fails-fast",
            "nothing starts without what it needs",
            "no `optional: true` on references; in Compose `${NAME:?…}` instead of `${NAME}`",
        ),
        judge: fails_fast,
    },
    Rule {
        item: Item::new(
            "config/immutable",
            "a change of the settings makes new replicas",
            "let the ConfigMap be `immutable: true`, with a name that ends in a hash of it",
        ),
        judge: immutable,
    },
    Rule {
        item: Item::new(
            "config/parity",
            "environments differ in values, not in what is set",
            "give each variable of `deploy.overlays` a value in `deploy.base` or in every overlay",
        ),
        judge: parity,
    },
];

fn no_secrets(subject: &Subject<'_>) -> Verdict {
    let files = subject.artifacts.iter().map(|artifact| &artifact.file).chain(subject.sources);
    let mut found = literals::within(files);
    found.dedup();
    match &subject.unread {
        Some(unread) if found.is_empty() => Verdict::Unknown(unread.clone()),
        _ => {
            let count = subject.sources.len() + subject.artifacts.len();
            Verdict::unless(found, format!("{count} files were looked through"))
        }
    }
}

fn component_secrets(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    for component in &subject.plan.resources.components {
        for setting in &component.settings {
            let SettingValue::Text(text) = &setting.value else { continue };
            if literals::is_literal(&setting.name, text) {
                let what =
                    format!("`{}` of component `{}` is a secret in plain", setting.name, component.name);
                found.push(Finding { place: Some(origin(&subject.plan.folder, &component.origin)), what });
            }
        }
    }
    Verdict::unless(found, format!("{} components", subject.plan.resources.components.len()))
}

/// The place that a resource says it comes from (`FILE:LINE`), from the spec's folder where it is below it.
fn origin(folder: &Path, text: &str) -> Place {
    let (file, line) = text.rsplit_once(':').map_or((text, None), |(file, line)| (file, line.parse().ok()));
    let file = Path::new(file).strip_prefix(folder).map_or(file, |below| below.to_str().unwrap_or(file));
    Place { file: file.trim_start_matches("./").to_owned(), line }
}

fn secret_objects(subject: &Subject<'_>) -> Verdict {
    let mut found: Vec<Finding> = subject
        .objects(&["Secret"])
        .filter(|(_, object)| !object["data"].is_null() || !object["stringData"].is_null())
        .map(|(artifact, object)| artifact.finding("kind: Secret", format!("{} holds values", named(object))))
        .collect();
    for one in subject.containers() {
        for (name, value) in variables(one.value) {
            if literals::is_literal(&name, &value) {
                let what = format!("variable `{name}` of `{}` holds a secret in plain", one.name);
                found.push(one.artifact.finding(&name, what));
            }
        }
    }
    for (artifact, object) in subject.objects(&["ConfigMap"]) {
        for (name, value) in object["data"].as_object().into_iter().flatten() {
            if value.as_str().is_some_and(|value| literals::is_literal(name, value)) {
                found.push(artifact.finding(name, format!("`{name}` of {} holds a secret", named(object))));
            }
        }
    }
    found.extend(terraform::secrets(subject));
    Verdict::unless(found, "secrets stand by name alone")
}

/// Variables with plain values: a list of names and values, or a map.
fn variables(container: &Value) -> Vec<(String, String)> {
    let list = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["value"].as_str()?.to_owned())));
    let map = container["environment"].as_object().into_iter().flatten();
    let map = map.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    list.chain(map).collect()
}

fn fails_fast(subject: &Subject<'_>) -> Verdict {
    subject.each_container("every reference must be there", |one| {
        for entry in one.value["env"].as_array().into_iter().flatten() {
            let source = &entry["valueFrom"]["secretKeyRef"];
            if source["optional"] == Value::Bool(true) {
                let name = entry["name"].as_str().unwrap_or_default();
                return Some(("optional", format!("starts without `{name}`")));
            }
        }
        if one.pod.is_some() {
            return None;
        }
        let lax = variables(one.value).into_iter().find(|(name, value)| {
            literals::is_telling(name) && value.starts_with('$') && !value.contains(":?")
        });
        lax.map(|(name, _)| ("environment", format!("starts without `{name}`")))
    })
}

fn immutable(subject: &Subject<'_>) -> Verdict {
    let used: BTreeSet<String> = subject
        .containers()
        .iter()
        .flat_map(|one| one.value["envFrom"].as_array().into_iter().flatten())
        .filter_map(|source| source["configMapRef"]["name"].as_str().map(str::to_owned))
        .collect();
    let maps: Vec<_> = subject.objects(&["ConfigMap"]).collect();
    if maps.is_empty() {
        return subject.nothing("no ConfigMap is described under `deploy/kubernetes`");
    }
    let mut found = Vec::new();
    for (artifact, object) in maps {
        if object["immutable"] != Value::Bool(true) {
            found.push(
                artifact.finding("immutable", format!("{} can change under its replicas", named(object))),
            );
        }
        if !object["metadata"]["name"].as_str().is_some_and(|name| used.contains(name)) {
            found.push(artifact.finding("name", format!("no container reads {}", named(object))));
        }
    }
    Verdict::unless(found, "settings are named after what they hold")
}

fn parity(subject: &Subject<'_>) -> Verdict {
    let workloads = match &subject.workloads {
        Ok(workloads) => workloads,
        Err(_) => return subject.nothing(""),
    };
    let names = |workload: &crate::Workload| -> BTreeSet<String> {
        let secrets = workload.secrets.iter().map(|secret| secret.key().to_owned());
        workload.variables.keys().cloned().chain(secrets).collect()
    };
    let all: BTreeSet<String> = workloads.iter().flat_map(names).collect();
    let mut found = Vec::new();
    for workload in workloads {
        for name in all.difference(&names(workload)) {
            let what = format!("`{name}` is not set in {}, and is elsewhere", workload.environment);
            found.push(Finding { place: None, what });
        }
    }
    Verdict::unless(found, format!("{} variables, in every environment", all.len()))
}
