//! Kubernetes, as plain files: a namespace that admits restricted pods alone, the workload, its way in and its bounds.
//!
//! The objects are made once, here, and written by every target that speaks Kubernetes (these files, Kustomize, Helm),
//! so that the three cannot differ. No number of replicas stands where a scaler owns it; secrets stand by name alone.

mod network;
mod pod;
pub(crate) mod scaling;

pub(super) use pod::{passing_mounts, passing_volumes, plain_pod, spread};
pub(crate) use scaling::IN_FLIGHT;
pub(super) use scaling::PROMETHEUS;
use serde_json::{Value, json};

use mainstay_core::Result;

use super::{Rendered, Target};
use crate::value::{dense, texts};
use crate::workload::{PORT, Workload};
use crate::{File, Shipment, patched, text};

pub(super) const TARGET: Target = Target {
    name: "kubernetes",
    about: "Kubernetes, as plain files for one environment",
    needs: &["docker"],
    render,
};

/// An object, and the name of the file that holds it. `kubectl apply -f FOLDER` takes them in the files' order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// The file's name, without folder and ending.
    pub(crate) file: &'static str,
    /// The object.
    pub(crate) value: Value,
}

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let objects = objects(shipment.workload)?;
    let mut files: Vec<File> = objects
        .iter()
        .enumerate()
        .map(|(n, object)| File::yaml(format!("{n:02}-{}.yaml", object.file), &header, object.value.clone()))
        .collect();
    files.push(File::new("README.md", header.lines("<!--") + "\n" + &readme(shipment.workload)));
    Ok(Rendered { files, notes: notes(shipment.workload) })
}

/// Every object of a service, in the order in which they are to be made.
pub(crate) fn objects(workload: &Workload) -> Result<Vec<Object>> {
    let mut objects = vec![
        Object { file: "namespace", value: namespace(workload) },
        Object { file: "service-account", value: service_account(workload) },
        Object { file: "config-map", value: config_map(workload) },
        Object { file: "service", value: network::service(workload) },
    ];
    if workload.sizing.storage_bytes.is_some() {
        objects.push(Object { file: "service-headless", value: network::headless(workload) });
        objects.push(Object { file: "stateful-set", value: pod::stateful_set(workload) });
    } else {
        objects.push(Object { file: "deployment", value: pod::deployment(workload) });
    }
    objects.extend(scaling::objects(workload)?);
    objects.extend(network::objects(workload));
    for object in &mut objects {
        object.value = dense(object.value.take());
        patched::object(&workload.patches, object)?;
    }
    Ok(objects)
}

/// What is worth knowing beside the files.
pub(crate) fn notes(workload: &Workload) -> Vec<String> {
    let mut notes = workload.notes.clone();
    notes.extend(scaling::notes(workload));
    notes.extend(network::notes(workload));
    if workload.metrics_key.is_some() {
        notes.push(
            "`/metrics` asks for a key. The PodMonitor of `alerts` brings it; what follows the pods' annotations alone has \
             none, and reads nothing."
                .to_owned(),
        );
    }
    let servers: Vec<&str> = workload.called().map(|service| service.name).collect();
    if !servers.is_empty() {
        notes.push(format!(
            "The cluster is expected to have {}: no database is made here. It is called where the spec's tools and \
             component files say: name yours there, or let a Service of that name lead to it.",
            servers.join(", ")
        ));
    }
    notes
}

/// The namespace of a service in an environment.
pub(crate) fn namespace_name(workload: &Workload) -> String {
    format!("{}-{}", workload.name, workload.environment)
}

/// Metadata of an object with this name.
pub(super) fn metadata(workload: &Workload, name: &str) -> Value {
    json!({ "name": name, "namespace": namespace_name(workload), "labels": labels(workload) })
}

/// Labels that never change, which a workload is found by.
pub(super) fn selector(workload: &Workload) -> Value {
    texts([("app.kubernetes.io/name", workload.name.as_str()), ("app.kubernetes.io/component", "agent")])
}

/// Every label.
pub(super) fn labels(workload: &Workload) -> Value {
    texts([
        ("app.kubernetes.io/name", workload.name.as_str()),
        ("app.kubernetes.io/component", "agent"),
        ("app.kubernetes.io/version", label(&workload.tag).as_str()),
        ("app.kubernetes.io/managed-by", "mainstay"),
    ])
}

/// A label's value is at most 63 characters and ends in a letter or digit.
fn label(text: &str) -> String {
    let cut: String = text.chars().take(crate::label::KUBERNETES_MAX).collect();
    cut.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

fn namespace(workload: &Workload) -> Value {
    let mut labels = labels(workload);
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = "restricted".into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": namespace_name(workload), "labels": labels },
    })
}

fn service_account(workload: &Workload) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload, &workload.name),
        "automountServiceAccountToken": false,
    })
}

/// Its name ends in a hash of what it holds, so that a change makes new replicas and an old one keeps what it started
/// with.
fn config_map(workload: &Workload) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(workload, &config_name(workload)),
        "immutable": true,
        "data": texts(workload.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
    })
}

fn config_name(workload: &Workload) -> String {
    format!("{}-env-{}", workload.name, workload.variables_hash())
}

fn readme(workload: &Workload) -> String {
    let (namespace, name) = (namespace_name(workload), &workload.name);
    let kind = if workload.sizing.storage_bytes.is_some() { "statefulset" } else { "deployment" };
    let mut out = format!("# {name} on Kubernetes ({})\n\n", workload.environment);
    out.push_str("Files are numbered in the order in which they are to be applied.\n\n```sh\n");
    out.push_str("kubectl apply -f 00-namespace.yaml\n");
    if !workload.secrets.is_empty() {
        let literals: Vec<String> = workload
            .secrets
            .iter()
            .map(|secret| match secret {
                crate::Secret::Variable { key, .. } => format!("--from-literal={key}=\"${key}\""),
                crate::Secret::File { key, .. } => format!("--from-file={key}={}", text::shell(key)),
            })
            .collect();
        let secret = workload.secret_name();
        let literals = literals.join(" \\\n  ");
        out.push_str(&format!("kubectl -n {namespace} create secret generic {secret} \\\n  {literals}\n"));
    }
    out.push_str(&format!(
        "kubectl apply -f .\nkubectl -n {namespace} rollout status {kind}/{name} --timeout=5m\n\
         kubectl -n {namespace} port-forward service/{name} {PORT}:80\n```\n"
    ));
    let notes = notes(workload);
    if !notes.is_empty() {
        out.push_str("\n## Worth knowing\n\n");
        for note in notes {
            out.push_str(&format!("- {note}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::workload;

    #[test]
    fn who_reads_the_metrics_of_a_guarded_service_is_said() {
        let said = |metrics_key| {
            let notes = notes(&Workload { metrics_key, ..workload() });
            notes.iter().any(|note| note.starts_with("`/metrics` asks for a key"))
        };
        assert!(said(Some("WEB_KEY".to_owned())) && !said(None));
    }
}
