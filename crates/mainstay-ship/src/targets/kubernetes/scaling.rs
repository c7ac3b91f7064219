//! What adds and removes replicas, and how many may be missing at a time.
//!
//! An agent waits for models: its processor is idle while it is full. So requests in flight are what counts, and
//! processor use only where the spec wants it beside them.

use serde_json::{Value, json};

use mainstay_core::plan::{Pace, Scaler, Sizing};
use mainstay_core::{Error, Result, codes, metric};

use super::{Object, metadata, pod, selector};
use crate::workload::Workload;

/// The metric: requests in flight of a replica.
pub(crate) const IN_FLIGHT: &str = metric::IN_FLIGHT.name;
/// Where Prometheus is, where the spec does not say it.
pub(in crate::targets) const PROMETHEUS: &str = "http://prometheus-operated.monitoring.svc:9090";
/// How often KEDA looks whether there is work.
pub(crate) const POLLING_SECONDS: u64 = 15;
/// How long there must have been none before the last replica goes.
pub(crate) const COOLDOWN_SECONDS: u64 = 300;

pub(super) fn objects(workload: &Workload) -> Result<Vec<Object>> {
    let sizing = &workload.sizing;
    let mut objects = Vec::new();
    if workload.scaled() {
        match sizing.scaler {
            // What is followed is measured by the replicas themselves, and nothing holds a request until one is there.
            Scaler::BuiltIn | Scaler::Events if sizing.replicas_min == 0 => {
                let message = "on Kubernetes nothing would start the first replica for a request";
                return Err(Error::new(&codes::SHIP_UNSUPPORTED, message)
                    .with_help("let `replicas.min` be 1 or more"));
            }
            Scaler::BuiltIn => objects.push(Object { file: "autoscaler", value: hpa(workload) }),
            Scaler::Events => objects.push(Object { file: "scaled-object", value: scaled_object(workload) }),
            Scaler::Fixed => {}
        }
    }
    // It lets one replica go at any time, so it never keeps a machine from being emptied, not even of the only one.
    if workload.several() {
        objects.push(Object { file: "disruption-budget", value: disruption_budget(workload) });
    }
    Ok(objects)
}

pub(super) fn notes(workload: &Workload) -> Vec<String> {
    match workload.sizing.scaler {
        Scaler::BuiltIn if workload.scaled() => vec![format!(
            "The autoscaler follows `{IN_FLIGHT}`, which the cluster must offer as a metric of pods (prometheus-adapter \
             does); without it the number of replicas stays where it is."
        )],
        Scaler::Events if workload.scaled() => vec![format!(
            "KEDA must be installed, and asks Prometheus at {PROMETHEUS}; change `serverAddress` if yours is elsewhere."
        )],
        Scaler::BuiltIn | Scaler::Events | Scaler::Fixed => Vec::new(),
    }
}

/// How fast replicas come and go, as the API says it.
pub(crate) fn behavior(sizing: &Sizing) -> Value {
    let rules = |pace: &Pace| {
        let policy = |kind: &str, value: Option<u32>| {
            value.map(|value| json!({ "type": kind, "value": value, "periodSeconds": pace.every.as_secs() }))
        };
        let policies = [policy("Percent", pace.percent), policy("Pods", pace.replicas)];
        json!({
            "stabilizationWindowSeconds": pace.after.as_secs(),
            "selectPolicy": "Max",
            "policies": policies.into_iter().flatten().collect::<Vec<_>>(),
        })
    };
    json!({ "scaleUp": rules(&sizing.scale_up), "scaleDown": rules(&sizing.scale_down) })
}

fn hpa(workload: &Workload) -> Value {
    let mut metrics = vec![json!({
        "type": "Pods",
        "pods": {
            "metric": { "name": IN_FLIGHT },
            "target": { "type": "AverageValue", "averageValue": workload.sizing.in_flight.to_string() },
        },
    })];
    if let Some(percent) = workload.sizing.cpu_percent {
        metrics.push(json!({
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percent } },
        }));
    }
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "scaleTargetRef": pod::reference(workload),
            "minReplicas": workload.sizing.replicas_min,
            "maxReplicas": workload.sizing.replicas_max,
            "metrics": metrics,
            "behavior": behavior(&workload.sizing),
        },
    })
}

fn scaled_object(workload: &Workload) -> Value {
    let mut triggers = vec![json!({
        "type": "prometheus",
        "metadata": {
            "serverAddress": PROMETHEUS,
            "query": pod::in_flight(workload),
            "threshold": workload.sizing.in_flight.to_string(),
        },
    })];
    if let Some(percent) = workload.sizing.cpu_percent {
        triggers.push(json!({
            "type": "cpu", "metricType": "Utilization", "metadata": { "value": percent.to_string() },
        }));
    }
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "scaleTargetRef": pod::reference(workload),
            "pollingInterval": POLLING_SECONDS,
            "cooldownPeriod": COOLDOWN_SECONDS,
            "minReplicaCount": workload.sizing.replicas_min,
            "maxReplicaCount": workload.sizing.replicas_max,
            "advanced": { "horizontalPodAutoscalerConfig": { "behavior": behavior(&workload.sizing) } },
            "triggers": triggers,
        },
    })
}

fn disruption_budget(workload: &Workload) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": { "matchLabels": selector(workload) },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::workload;

    #[test]
    fn a_budget_is_there_as_soon_as_there_may_be_several_replicas() {
        for (replicas_min, replicas_max, expect) in [(1, 1, false), (1, 20, true), (2, 2, true)] {
            let sizing = mainstay_core::plan::Sizing { replicas_min, replicas_max, ..workload().sizing };
            let made = objects(&crate::Workload { sizing, ..workload() }).unwrap();
            let found = made.iter().find(|object| object.file == "disruption-budget");
            assert_eq!(found.is_some(), expect, "{replicas_min} to {replicas_max}");
            // `maxUnavailable` lets a machine with the only replica be emptied, which `minAvailable` would not.
            assert!(found.is_none_or(|object| object.value["spec"]["maxUnavailable"] == 1));
        }
    }
}
