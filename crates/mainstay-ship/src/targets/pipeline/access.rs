//! The cluster's side of a pipeline: whose tokens it takes, and what the pipeline of an environment may do there.
//! Written for whoever owns the cluster to read and apply; a pipeline cannot give itself rights.
//!
//! There is no key: the forge says in a token which repository and which environment a job is of, and the API server
//! looks that up. The rights are those that the objects of the environment need: no secrets, no deleting, no namespace.

use serde_json::{Value, json};

use super::Pipeline;
use crate::File;
use crate::targets::kubernetes::{self, Object};
use crate::workload::Workload;

/// Who issues tokens for the jobs of a pipeline.
pub(in crate::targets) struct Forge {
    /// A short name, before the names of its users.
    pub(in crate::targets) name: &'static str,
    /// The issuer.
    pub(in crate::targets) issuer: String,
    /// The claim with the repository's name.
    pub(in crate::targets) claim: &'static str,
    /// What the claims of a job of the deployed branch fulfil, in CEL.
    pub(in crate::targets) of_branch: String,
}

/// The files, below `cluster/`; none where the spec does not say what the repository is called.
pub(in crate::targets) fn files(pipeline: &Pipeline<'_>, forge: &Forge) -> Vec<File> {
    let Some(repository) = pipeline.repository else { return Vec::new() };
    let header = pipeline.shipment.project.header();
    let file = |name: &str, value: &Value| File::yaml(format!("cluster/{name}.yaml"), &header, value.clone());
    let mut files = vec![file("authentication", &authentication(pipeline.name(), forge, repository.path))];
    for (workload, objects) in pipeline.environments.iter().zip(&pipeline.objects) {
        let environment = workload.environment;
        let user = format!("{}:{}:{environment}", forge.name, repository.path);
        if let Some(namespace) = objects.iter().find(|object| object.file == "namespace") {
            files.push(file(&format!("{environment}-0-namespace"), &namespace.value));
        }
        files.push(file(&format!("{environment}-1-role"), &role(workload, objects)));
        files.push(file(&format!("{environment}-2-role-binding"), &binding(workload, &user)));
    }
    files
}

/// What an API server is started with (`--authentication-config`).
fn authentication(audience: &str, forge: &Forge, path: &str) -> Value {
    let Forge { name, issuer, claim, of_branch } = forge;
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": { "url": issuer, "audiences": [audience] },
            "claimValidationRules": [
                {
                    "expression": format!("claims.{claim} == '{path}'"),
                    "message": "the token is of another repository",
                },
                { "expression": of_branch, "message": "the token is not of the branch that is deployed" },
                {
                    "expression": "has(claims.environment)",
                    "message": "the token is not of a job with an environment",
                },
            ],
            "claimMappings": {
                "username": { "expression": format!("'{name}:' + claims.{claim} + ':' + claims.environment") },
            },
        }],
    })
}

/// What the pipeline may do in the namespace of an environment.
fn role(workload: &Workload, objects: &[Object]) -> Value {
    let mut rules = Vec::new();
    let applied = objects.iter().filter(|object| object.file != "namespace");
    for (group, resource) in kinds(applied).into_iter().map(|(group, kind)| (group, plural(&kind))) {
        rules.push(json!({
            "apiGroups": [group], "resources": [resource],
            "verbs": ["get", "list", "watch", "create", "patch"],
        }));
    }
    let read = |group: &str, resources: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"] });
    // What a rollout is followed by and taken back with, and the way of the smoke test.
    rules.push(read("apps", &["controllerrevisions", "replicasets"]));
    rules.push(read("", &["pods"]));
    rules.push(json!({ "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"] }));
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": NAME, "namespace": kubernetes::namespace_name(workload) },
        "rules": rules,
    })
}

/// The name of the role.
const NAME: &str = "pipeline";

fn binding(workload: &Workload, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": NAME, "namespace": kubernetes::namespace_name(workload) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    })
}

/// The kinds of objects, each once, with their API groups.
pub(in crate::targets) fn kinds<'o>(objects: impl IntoIterator<Item = &'o Object>) -> Vec<(String, String)> {
    let mut kinds = Vec::new();
    for object in objects {
        let version = object.value["apiVersion"].as_str().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let kind = (group.to_owned(), object.value["kind"].as_str().unwrap_or_default().to_owned());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// What a kind is called among the API's resources.
fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.as_bytes().last() {
        Some(b'y') => format!("{}ies", &lower[..lower.len() - 1]),
        Some(b's') => format!("{lower}es"),
        _ => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_that_the_api_gives_them() {
        for (kind, expect) in [
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            ("HTTPRoute", "httproutes"),
        ] {
            assert_eq!(plural(kind), expect);
        }
    }
}
