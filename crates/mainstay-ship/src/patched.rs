//! What the spec changes in generated files: JSON Patches (RFC 6902), made before anything judges the files.
//!
//! Objects of Kubernetes are changed where they are made, so that plain files, Kustomize and Helm stay the same thing.
//! Other files are changed as they come from their target; a file that was not written from a value cannot be.

use json_patch::{Patch, PatchOperation};
use mainstay_core::plan::FilePatch;
use mainstay_core::{Error, Result, codes};
use serde_json::Value;

use crate::targets::kubernetes::{self, Object};
use crate::{File, Project, Target, targets};

/// Every patch is for a target and a file that there are. Errors: `SHIP_PATCH`.
pub(crate) fn known(project: &Project<'_>) -> Result<()> {
    let patches = &project.plan.deploy.patches;
    for patch in patches {
        let (target, _) = parts(patch);
        if targets::find(target).is_none() {
            let known: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
            let message = format!("`{}` begins with the name of no target", patch.file);
            return Err(Error::new(&codes::SHIP_PATCH, message)
                .with_help(format!("the targets are {}", known.join(", "))));
        }
    }
    let mut names: Vec<String> = Vec::new();
    if patches.iter().any(|patch| parts(patch).0 == KUBERNETES) {
        for workload in targets::environments(project)? {
            names.extend(kubernetes::objects(&workload)?.iter().map(file_name));
        }
    }
    names.sort();
    names.dedup();
    for patch in patches.iter().filter(|patch| parts(patch).0 == KUBERNETES) {
        if !names.iter().any(|name| name == parts(patch).1) {
            return Err(no_file(patch, names.iter().map(String::as_str)));
        }
    }
    Ok(())
}

const KUBERNETES: &str = "kubernetes";

/// Makes the patches that are for the files of a target. Errors: `SHIP_PATCH`.
pub(crate) fn files(project: &Project<'_>, target: &Target, files: &mut [File]) -> Result<()> {
    let of_target = |patch: &&FilePatch| parts(patch).0 == target.name && target.name != KUBERNETES;
    for patch in project.plan.deploy.patches.iter().filter(of_target) {
        let path = parts(patch).1;
        let Some(at) = files.iter().position(|file| file.path == path) else {
            let patchable = files.iter().filter(|file| file.document.is_some());
            return Err(no_file(patch, patchable.map(|file| file.path.as_str())));
        };
        let Some(mut document) = files[at].document.clone() else {
            let message = format!("`{}` is not made from a value that could be patched", patch.file);
            let help =
                "run `mainstay ship eject` for the target and edit the file, or patch what it is made from";
            return Err(Error::new(&codes::SHIP_PATCH, message).with_help(help));
        };
        apply(patch, &mut document.value)?;
        let pinned = document.form == crate::file::Form::Scripted;
        files[at] = File::written(path, &project.header(), document);
        if pinned {
            files[at].text = project.pins.explained(&files[at].text);
        }
    }
    Ok(())
}

/// Makes the patches that are for an object of Kubernetes.
pub(crate) fn object(patches: &[FilePatch], object: &mut Object) -> Result<()> {
    let name = file_name(object);
    patches
        .iter()
        .filter(|patch| parts(patch) == (KUBERNETES, &name))
        .try_for_each(|patch| apply(patch, &mut object.value))
}

/// Whether what was patched in an object is as it was patched in a template that was made from it. Errors:
/// `SHIP_PATCH`, where a value of the chart stands there instead.
pub(crate) fn holds(patches: &[FilePatch], object: &Object, template: &Value) -> Result<()> {
    let name = file_name(object);
    for patch in patches.iter().filter(|patch| parts(patch) == (KUBERNETES, &name)) {
        let pointers = patch.operations.iter().flat_map(|operation| [&operation["path"], &operation["from"]]);
        for pointer in pointers.filter_map(Value::as_str) {
            // What was put behind a list's last entry is somewhere in the list.
            let pointer = pointer.strip_suffix("/-").unwrap_or(pointer);
            if object.value.pointer(pointer) != template.pointer(pointer) {
                let message = format!("`{pointer}` of `{}` is a value of the chart", patch.file);
                let help = "say it under `deploy.base` or `deploy.overlays`, or ship without `helm`";
                return Err(Error::new(&codes::SHIP_PATCH, message).with_help(help));
            }
        }
    }
    Ok(())
}

fn file_name(object: &Object) -> String {
    format!("{}.yaml", object.file)
}

/// A patch's target, and the path below the target's folder.
fn parts(patch: &FilePatch) -> (&str, &str) {
    patch.file.split_once('/').unwrap_or((&patch.file, ""))
}

fn no_file<'f>(patch: &FilePatch, files: impl Iterator<Item = &'f str>) -> Error {
    let files: Vec<&str> = files.collect();
    let message = format!("there is no file `{}`", patch.file);
    Error::new(&codes::SHIP_PATCH, message).with_help(format!(
        "what can be patched of `{}` is {}",
        parts(patch).0,
        files.join(", ")
    ))
}

fn apply(patch: &FilePatch, value: &mut Value) -> Result<()> {
    let refused =
        |why: String| Error::new(&codes::SHIP_PATCH, format!("`{}` cannot be patched: {why}", patch.file));
    let operations: Vec<PatchOperation> = serde_json::from_value(Value::Array(patch.operations.clone()))
        .map_err(|error| refused(error.to_string()))?;
    json_patch::patch(value, &Patch(operations))
        .map_err(|error| refused(error.to_string()).with_help(what_is_there(value, error.path.as_str())))
}

/// How far a pointer leads, and what could follow.
fn what_is_there(value: &Value, pointer: &str) -> String {
    const SHOWN_MAX: usize = 20;
    let mut at = pointer;
    let found = loop {
        match value.pointer(at) {
            Some(found) => break found,
            None => at = at.rsplit_once('/').map_or("", |(parent, _)| parent),
        }
    };
    let keys: Vec<&str> =
        found.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).take(SHOWN_MAX).collect();
    match (found, keys.is_empty()) {
        (Value::Array(items), _) => format!("`{at}` is a list of {}", items.len()),
        (Value::Object(_), false) => format!("`{at}` has the keys {}", keys.join(", ")),
        _ => format!("`{at}` has nothing below it"),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::{Deploy, Environment};
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn patched(target: &str, file: &str, operations: Value) -> Result<String> {
        let operations = operations.as_array().cloned().unwrap();
        let patches = vec![FilePatch { file: file.to_owned(), operations }];
        let deploy = Deploy { patches, ..fixture::deploy() };
        fixture::with(deploy, |shipment| {
            let asked = [targets::find(target).unwrap()];
            let (_, rendered) = crate::ship(shipment.project, asked, Environment::Prod)?.remove(0);
            Ok(rendered?.files.into_iter().map(|file| file.text).collect::<Vec<_>>().join("---\n"))
        })
    }

    #[test]
    fn an_object_is_patched_in_plain_files_overlays_and_chart_alike() {
        let priority = json!([
            { "op": "add", "path": "/spec/template/spec/priorityClassName", "value": "high" },
        ]);
        for target in ["kubernetes", "kustomize", "helm"] {
            let text = patched(target, "kubernetes/deployment.yaml", priority.clone()).unwrap();
            assert_eq!(text.matches("priorityClassName: high").count(), 1, "{target}");
        }
    }

    #[test]
    fn of_several_targets_none_is_rendered_where_a_patch_is_for_no_file() {
        let each = |file: &str| {
            let operations = vec![json!({ "op": "add", "path": "/metadata/labels/team", "value": "a" })];
            let patches = vec![FilePatch { file: file.to_owned(), operations }];
            fixture::with(Deploy { patches, ..fixture::deploy() }, |shipment| {
                let asked = ["docker", "kubernetes"].map(|name| targets::find(name).unwrap());
                let each = crate::ship(shipment.project, asked, Environment::Prod)?;
                Ok::<_, Error>(each.into_iter().map(|(target, found)| (target.name, found.is_ok())).collect())
            })
        };
        let rendered: Vec<_> = each("kubernetes/deployment.yaml").unwrap();
        assert_eq!(rendered, [("docker", true), ("kubernetes", true)]);
        assert_eq!(each("kubernetes/none.yaml").unwrap_err().code().id, "SHIP_PATCH");
    }

    #[test]
    fn a_file_that_is_a_value_is_patched_where_it_is_written() {
        let text = patched(
            "compose",
            "compose/compose.yaml",
            json!([{ "op": "add", "path": "/services/desk/hostname", "value": "no" }]),
        );
        assert!(text.unwrap().contains("hostname: \"no\""));
        let path = "/on/workflow_dispatch";
        let text = patched(
            "github",
            "github/workflows/ship.yaml",
            json!([{ "op": "add", "path": path, "value": {} }]),
        );
        let text = text.unwrap();
        assert!(text.contains("workflow_dispatch:") && text.contains(" # v"), "pins keep their versions");
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_what_there_is() {
        let add = |path: &str| json!([{ "op": "add", "path": path, "value": 1 }]);
        for (target, file, operations, told) in [
            ("docker", "cubernetes/deployment.yaml", add("/a"), "no target"),
            ("docker", "kubernetes/stateful-set.yaml", add("/a"), "deployment.yaml"),
            ("compose", "compose/docker-compose.yaml", add("/a"), "compose.yaml"),
            ("docker", "docker/Dockerfile", add("/a"), "eject"),
            (
                "kubernetes",
                "kubernetes/deployment.yaml",
                add("/spec/template/none/x"),
                "`/spec/template` has the keys metadata, spec",
            ),
            (
                "helm",
                "kubernetes/deployment.yaml",
                add("/spec/template/spec/containers/0/env/-"),
                "deploy.base",
            ),
            ("helm", "kubernetes/deployment.yaml", add("/spec/replicas"), "deploy.base"),
        ] {
            let error = patched(target, file, operations).unwrap_err();
            let said = format!("{} {}", error.message(), error.help().unwrap_or_default());
            assert_eq!(error.code().id, "SHIP_PATCH", "{target} {file}: {said}");
            assert!(said.contains(told), "{target} {file}: {said}");
        }
    }
}
