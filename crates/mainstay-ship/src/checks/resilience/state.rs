//! What a service keeps: whether it outlives a replica, and whether the other replicas see it.

use crate::checks::subject::{Subject, named};
use crate::checks::{Finding, Verdict};
use crate::stores;

/// Stores inside the process are each replica's own: with several, a caller finds at one what it left at another by
/// chance.
pub(super) fn shared(subject: &Subject<'_>) -> Verdict {
    let workload = match subject.workload() {
        Ok(workload) => workload,
        Err(refused) => return refused,
    };
    if !workload.several() {
        return Verdict::Pass("there is one replica".to_owned());
    }
    let most = workload.sizing.replicas_max;
    let alone =
        subject.plan.resources.components.iter().filter(|component| stores::in_replica(&component.kind));
    let found = alone.map(|component| {
        let (name, kind) = (&component.name, &component.kind);
        Finding {
            place: None,
            what: format!("component `{name}` (`{kind}`) is {most} stores with {most} replicas"),
        }
    });
    Verdict::unless(found.collect(), "components keep nothing in the replicas")
}

pub(super) fn kept(subject: &Subject<'_>) -> Verdict {
    let workload = match subject.workload() {
        Ok(workload) => workload,
        Err(refused) => return refused,
    };
    let mut found = Vec::new();
    for (artifact, object, pod) in subject.pods() {
        let containers = pod["containers"].as_array().into_iter().flatten();
        let mounts =
            containers.into_iter().flat_map(|one| one["volumeMounts"].as_array().into_iter().flatten());
        let Some(data) = mounts.into_iter().find(|mount| mount["mountPath"] == crate::workload::DATA) else {
            continue;
        };
        let claims = object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
        let claimed = claims.into_iter().any(|claim| claim["metadata"]["name"] == data["name"]);
        let volumes = pod["volumes"].as_array().into_iter().flatten();
        let kept = volumes
            .into_iter()
            .any(|volume| volume["name"] == data["name"] && !volume["persistentVolumeClaim"].is_null());
        if !claimed && !kept {
            found.push(
                artifact.finding("volumes", format!("{} keeps the data folder with its pod", named(object))),
            );
        }
    }
    if workload.sizing.storage_bytes.is_none() && found.is_empty() {
        let what = "the data folder, with the record of runs, goes with its replica".to_owned();
        found.push(Finding { place: None, what });
    }
    Verdict::unless(found, "the data folder has a volume")
}
