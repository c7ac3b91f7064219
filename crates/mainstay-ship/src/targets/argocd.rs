//! Argo CD: a project that admits this service's objects alone, and an application for each environment, made from the
//! overlays in the repository.

use serde_json::{Value, json};

use mainstay_core::Result;

use super::pipeline::access::kinds;
use super::{Rendered, Target, environments, kubernetes, pipeline};
use crate::repository::Repository;
use crate::value::dense;
use crate::workload::Workload;
use crate::{File, Shipment};

pub(super) const TARGET: Target = Target {
    name: "argocd",
    about: "Argo CD: a project, and an application for each environment",
    needs: &["docker", "kustomize"],
    render,
};

/// Where Argo CD itself is.
const NAMESPACE: &str = "argocd";
/// The cluster that Argo CD runs in.
const CLUSTER: &str = "https://kubernetes.default.svc";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let repository = Repository::demanded(&shipment.project.plan.deploy, "Argo CD")?;
    let workloads = environments(shipment.project)?;
    let file = |path: String, value: Value| File::yaml(path, &header, dense(value));
    let mut files = vec![file("project.yaml".to_owned(), project(shipment, &repository, &workloads)?)];
    for workload in &workloads {
        let value = application(shipment, &repository, workload);
        files.push(file(format!("application-{}.yaml", workload.environment), value));
    }
    let mut notes = shipment.workload.notes.clone();
    notes.extend(pipeline::outside(shipment));
    notes.extend(shared_notes("Argo CD", &shipment.project.plan.deploy.branch));
    Ok(Rendered { files, notes })
}

/// What is worth knowing of whatever fetches from the repository.
pub(super) fn shared_notes(who: &str, branch: &str) -> Vec<String> {
    vec![
        format!(
            "{who} deploys what `{branch}` of the repository says: ship `kustomize` (with `--digest`) and commit, and let no \
             pipeline apply the same objects. A private repository needs credentials there."
        ),
        "A deployment is taken back by reverting its commit.".to_owned(),
    ]
}

fn project(shipment: &Shipment<'_>, repository: &Repository<'_>, workloads: &[Workload]) -> Result<Value> {
    let mut all = Vec::new();
    for workload in workloads {
        all.extend(kubernetes::objects(workload)?);
    }
    let list = |kinds: Vec<(String, String)>| -> Vec<Value> {
        kinds.into_iter().map(|(group, kind)| json!({ "group": group, "kind": kind })).collect()
    };
    let (of_cluster, within): (Vec<_>, Vec<_>) =
        kinds(&all).into_iter().partition(|(_, kind)| kind == "Namespace");
    let destinations: Vec<Value> = workloads.iter().map(destination).collect();
    let name = &shipment.workload.name;
    Ok(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "description": format!("{name}, and nothing else"),
            "sourceRepos": [repository.url],
            "destinations": destinations,
            "clusterResourceWhitelist": list(of_cluster),
            "namespaceResourceWhitelist": list(within),
        },
    }))
}

fn destination(workload: &Workload) -> Value {
    json!({ "server": CLUSTER, "namespace": kubernetes::namespace_name(workload) })
}

fn application(shipment: &Shipment<'_>, repository: &Repository<'_>, workload: &Workload) -> Value {
    let environment = workload.environment;
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": format!("{}-{environment}", workload.name),
            "namespace": NAMESPACE,
            "labels": { "app.kubernetes.io/name": workload.name, "environment": environment.name() },
        },
        "spec": {
            "project": workload.name,
            "source": {
                "repoURL": repository.url,
                "targetRevision": shipment.project.plan.deploy.branch,
                "path": format!("{}/kustomize/overlays/{environment}", pipeline::folder(shipment)),
            },
            "destination": destination(workload),
            "revisionHistoryLimit": 10,
            "syncPolicy": {
                "automated": { "prune": true, "selfHeal": true, "allowEmpty": false },
                "syncOptions": [
                    "ServerSideApply=true",
                    "PruneLast=true",
                    // What a scaler owns is left alone in applying, too, not in comparing alone.
                    "RespectIgnoreDifferences=true",
                ],
                "retry": { "limit": 5, "backoff": { "duration": "10s", "factor": 2, "maxDuration": "5m" } },
            },
            "ignoreDifferences": workload.scaled().then(|| json!([{
                "group": "apps",
                "kind": kind(workload),
                "name": workload.name,
                "jsonPointers": ["/spec/replicas"],
            }])),
        },
    })
}

fn kind(workload: &Workload) -> &'static str {
    if workload.sizing.storage_bytes.is_some() { "StatefulSet" } else { "Deployment" }
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::{Deploy, Environment, Scaler, Sizing};

    use super::*;
    use crate::fixture::{deploy, rendered, with};

    fn applications(deploy: Deploy) -> Vec<Value> {
        with(deploy, |shipment| {
            let repository = Repository::of(&shipment.project.plan.deploy).unwrap();
            let workloads = environments(shipment.project).unwrap();
            workloads.iter().map(|workload| dense(application(shipment, &repository, workload))).collect()
        })
    }

    #[test]
    fn each_environment_is_kept_as_its_overlay_says() {
        let made = applications(deploy());
        let paths: Vec<&Value> = made.iter().map(|one| &one["spec"]["source"]["path"]).collect();
        assert_eq!(
            paths,
            [
                "deploy/kustomize/overlays/dev",
                "deploy/kustomize/overlays/staging",
                "deploy/kustomize/overlays/prod"
            ]
        );
        for one in &made {
            assert_eq!(one["spec"]["project"], "desk", "not the project that may do anything");
            let automated = &one["spec"]["syncPolicy"]["automated"];
            assert_eq!(automated, &json!({ "prune": true, "selfHeal": true, "allowEmpty": false }));
        }
    }

    #[test]
    fn the_number_of_replicas_is_left_to_a_scaler_where_there_is_one() {
        let ignored: Vec<bool> =
            applications(deploy()).iter().map(|one| one["spec"].get("ignoreDifferences").is_some()).collect();
        assert_eq!(ignored, [false, true, true], "in dev there is one replica");
        let fixed = Sizing { scaler: Scaler::Fixed, ..Environment::Prod.sizing() };
        let environments = [(Environment::Prod, fixed)].into_iter().collect();
        assert!(
            applications(Deploy { environments, ..deploy() })[2]["spec"].get("ignoreDifferences").is_none()
        );
    }

    #[test]
    fn the_project_admits_the_service_alone() {
        let text = &rendered("argocd", deploy())
            .unwrap()
            .files
            .into_iter()
            .find(|f| f.path == "project.yaml")
            .unwrap()
            .text;
        assert!(text.contains("desk-prod") && text.contains("https://github.com/acme/desk"), "{text}");
        assert!(!text.contains("'*'") && !text.contains("Secret"), "{text}");
    }

    #[test]
    fn without_a_repository_it_is_refused() {
        let error = rendered("argocd", Deploy { repository: None, ..deploy() }).unwrap_err();
        assert_eq!(error.code().id, "SHIP_INCOMPLETE");
    }
}
