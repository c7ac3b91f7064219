//! Kustomize: production as the base, the other environments as what differs from it.
//!
//! What differs is found by comparing the objects themselves, so an overlay gives exactly the objects of the plain
//! files.

use serde_json::{Value, json};

use mainstay_core::Result;
use mainstay_core::plan::Environment;

use super::kubernetes::{self, Object};
use super::{Rendered, Target, environments};
use crate::workload::Workload;
use crate::{File, Header, Shipment, difference};

pub(super) const TARGET: Target = Target {
    name: "kustomize",
    about: "Kustomize: a base, and an overlay for each environment",
    needs: &["docker"],
    render,
};

/// The environment whose objects are the base.
const BASE: Environment = Environment::Prod;

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let workloads = environments(shipment.project)?;
    let all: Vec<Vec<Object>> = workloads.iter().map(kubernetes::objects).collect::<Result<_>>()?;
    let base_at = Environment::ALL.iter().position(|environment| *environment == BASE).unwrap_or_default();
    let shared: Vec<Object> = all[base_at]
        .iter()
        .filter(|object| all.iter().all(|objects| twin(objects, object).is_some()))
        .map(bare)
        .collect();
    let mut files: Vec<File> =
        shared.iter().map(|object| file(&header, &format!("base/{}", object.file), &object.value)).collect();
    let resources: Vec<String> = shared.iter().map(|object| format!("{}.yaml", object.file)).collect();
    files.push(file(&header, "base/kustomization", &kustomization(json!({ "resources": resources }))));
    for (workload, objects) in workloads.iter().zip(&all) {
        overlay(&header, workload, objects, &shared, &mut files);
    }
    Ok(Rendered { files, notes: kubernetes::notes(shipment.workload) })
}

fn overlay(
    header: &Header<'_>,
    workload: &Workload,
    objects: &[Object],
    shared: &[Object],
    files: &mut Vec<File>,
) {
    let folder = format!("overlays/{}", workload.environment);
    let mut resources = vec!["../../base".to_owned()];
    let mut patches = Vec::new();
    for object in objects {
        let Some(base) = twin(shared, object) else {
            resources.push(format!("{}.yaml", object.file));
            files.push(file(header, &format!("{folder}/{}", object.file), &object.value));
            continue;
        };
        let operations = difference::operations(&base.value, &bare(object).value);
        if !operations.is_empty() {
            let path = format!("patches/{}.yaml", object.file);
            files.push(File::yaml(format!("{folder}/{path}"), header, Value::Array(operations)));
            let target = json!({ "kind": object.value["kind"], "name": object.value["metadata"]["name"] });
            patches.push(json!({ "path": path, "target": target }));
        }
    }
    let mut content = json!({ "namespace": kubernetes::namespace_name(workload), "resources": resources });
    if !patches.is_empty() {
        content["patches"] = Value::Array(patches);
    }
    files.push(file(header, &format!("{folder}/kustomization"), &kustomization(content)));
}

fn file(header: &Header<'_>, path: &str, value: &Value) -> File {
    File::yaml(format!("{path}.yaml"), header, value.clone())
}

fn kustomization(content: Value) -> Value {
    let mut value = json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization" });
    for (key, entry) in content.as_object().into_iter().flatten() {
        value[key.as_str()] = entry.clone();
    }
    value
}

/// The object of the same kind and name.
fn twin<'o>(objects: &'o [Object], object: &Object) -> Option<&'o Object> {
    let same = |other: &&Object| {
        other.value["kind"] == object.value["kind"]
            && other.value["metadata"]["name"] == object.value["metadata"]["name"]
    };
    objects.iter().find(same)
}

/// An object without its namespace, which the overlay gives it.
fn bare(object: &Object) -> Object {
    let mut bare = object.clone();
    if let Some(metadata) = bare.value["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    bare
}
