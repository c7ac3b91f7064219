//! Flux: the repository as a source, and for each environment what is made of it, one after the other: staging takes a
//! commit once it is well in dev, production once it is in staging. Beside it the same with the chart, where an
//! environment waits for the one before to be well, whatever commit it is at.

use serde_json::{Value, json};

use mainstay_core::Result;
use mainstay_core::plan::Environment;

use super::{Rendered, Target, argocd, environments, kubernetes, pipeline};
use crate::repository::Repository;
use crate::value::dense;
use crate::workload::Workload;
use crate::{File, Shipment};

pub(super) const TARGET: Target = Target {
    name: "flux",
    about: "Flux: a source, and a kustomization or a chart's release for each environment",
    needs: &["docker", "kustomize", "helm"],
    render,
};

/// Where Flux itself is.
const NAMESPACE: &str = "flux-system";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let repository = Repository::demanded(&shipment.project.plan.deploy, "Flux")?;
    let workloads = environments(shipment.project)?;
    let file = |path: String, value: Value| File::yaml(path, &header, dense(value));
    let mut files = vec![file("source.yaml".to_owned(), source(shipment, &repository))];
    let mut before: Option<&Workload> = None;
    for workload in &workloads {
        let environment = workload.environment;
        let value = kustomization(shipment, workload, before);
        files.push(file(format!("kustomize/{environment}.yaml"), value));
        files.push(file(format!("helm/{environment}.yaml"), release(shipment, workload, before)));
        before = Some(workload);
    }
    let mut notes = shipment.workload.notes.clone();
    notes.extend(pipeline::outside(shipment));
    notes.extend(argocd::shared_notes("Flux", &shipment.project.plan.deploy.branch));
    notes.push(
        "Apply `source.yaml` and one of the folders `kustomize` and `helm`: both make the same objects, but only with \
         `kustomize` does a commit wait until the environment before has it and is well."
            .to_owned(),
    );
    Ok(Rendered { files, notes })
}

fn source(shipment: &Shipment<'_>, repository: &Repository<'_>) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": { "name": shipment.workload.name, "namespace": NAMESPACE },
        "spec": {
            "interval": "1m",
            "timeout": "1m",
            "url": repository.url,
            "ref": { "branch": shipment.project.plan.deploy.branch },
        },
    })
}

/// The name of what is made for an environment.
fn name(workload: &Workload) -> String {
    format!("{}-{}", workload.name, workload.environment)
}

/// What an environment waits for: a commit goes on only once it is well in the one before.
fn after(before: Option<&Workload>) -> Option<Value> {
    before.map(|workload| json!([{ "name": name(workload) }]))
}

/// How long a rollout may take: what it takes to start, for the replicas that are replaced one by one.
fn rollout(workload: &Workload) -> String {
    format!(
        "{}m",
        5 + (workload.start.as_secs() / 60 + 1) * u64::from(workload.sizing.replicas_min.clamp(1, 10))
    )
}

fn kustomization(shipment: &Shipment<'_>, workload: &Workload, before: Option<&Workload>) -> Value {
    let environment = workload.environment;
    let kind = if workload.sizing.storage_bytes.is_some() { "StatefulSet" } else { "Deployment" };
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": { "name": name(workload), "namespace": NAMESPACE },
        "spec": {
            "interval": "10m",
            "retryInterval": "2m",
            "timeout": rollout(workload),
            "sourceRef": { "kind": "GitRepository", "name": workload.name },
            "path": format!("./{}/kustomize/overlays/{environment}", pipeline::folder(shipment)),
            "prune": true,
            "dependsOn": after(before),
            "healthChecks": [{
                "apiVersion": "apps/v1", "kind": kind, "name": workload.name,
                "namespace": kubernetes::namespace_name(workload),
            }],
        },
    })
}

fn release(shipment: &Shipment<'_>, workload: &Workload, before: Option<&Workload>) -> Value {
    let environment = workload.environment;
    let chart = format!("./{}/helm", pipeline::folder(shipment));
    let mut values = vec![format!("{chart}/values.yaml")];
    if environment != Environment::Prod {
        values.push(format!("{chart}/values-{environment}.yaml"));
    }
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": { "name": name(workload), "namespace": NAMESPACE },
        "spec": {
            "interval": "10m",
            "timeout": rollout(workload),
            // The chart makes the namespace, with its labels; the records of releases are kept where Flux is, under
            // names of their own.
            "releaseName": name(workload),
            "targetNamespace": kubernetes::namespace_name(workload),
            "storageNamespace": NAMESPACE,
            "dependsOn": after(before),
            "chart": { "spec": {
                "chart": chart,
                "sourceRef": { "kind": "GitRepository", "name": workload.name },
                "reconcileStrategy": "Revision",
                "valuesFiles": values,
            } },
            "values": { "createNamespace": true },
            "install": { "remediation": { "retries": 3 } },
            "upgrade": {
                "cleanupOnFail": true,
                "remediation": { "retries": 3, "remediateLastFailure": true, "strategy": "rollback" },
            },
            "driftDetection": {
                "mode": "enabled",
                "ignore": workload.scaled().then(|| json!([{ "paths": ["/spec/replicas"] }])),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::Deploy;

    use super::*;
    use crate::fixture::{deploy, rendered, with};

    #[test]
    fn an_environment_waits_for_the_one_before_it() {
        with(deploy(), |shipment| {
            let workloads = environments(shipment.project).unwrap();
            for make in [kustomization, release] {
                let first = dense(make(shipment, &workloads[0], None));
                assert!(first["spec"].get("dependsOn").is_none());
                let last = dense(make(shipment, &workloads[2], Some(&workloads[1])));
                assert_eq!(last["spec"]["dependsOn"][0]["name"], "desk-staging");
            }
        });
    }

    #[test]
    fn what_is_gone_from_the_repository_goes_and_health_is_that_of_the_service() {
        with(deploy(), |shipment| {
            let spec = &kustomization(shipment, shipment.workload, None)["spec"];
            assert_eq!(spec["prune"], true);
            assert_eq!(spec["path"], "./deploy/kustomize/overlays/prod");
            assert_eq!(spec["healthChecks"][0]["kind"], "Deployment");
            assert_eq!(spec["healthChecks"][0]["namespace"], "desk-prod");
        });
    }

    #[test]
    fn a_release_takes_the_values_of_its_environment() {
        with(deploy(), |shipment| {
            let workloads = environments(shipment.project).unwrap();
            let names =
                workloads.iter().map(|one| release(shipment, one, None)["spec"]["releaseName"].clone());
            let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
            names.dedup();
            assert_eq!(names.len(), 3, "records of releases share a namespace");
            let files =
                |workload| release(shipment, workload, None)["spec"]["chart"]["spec"]["valuesFiles"].clone();
            assert_eq!(
                files(&workloads[0]),
                json!(["./deploy/helm/values.yaml", "./deploy/helm/values-dev.yaml"])
            );
            assert_eq!(files(&workloads[2]), json!(["./deploy/helm/values.yaml"]));
        });
    }

    #[test]
    fn without_a_repository_it_is_refused() {
        let error = rendered("flux", Deploy { repository: None, ..deploy() }).unwrap_err();
        assert_eq!(error.code().id, "SHIP_INCOMPLETE");
    }
}
