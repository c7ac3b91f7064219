//! The workload: a Deployment, or a StatefulSet where the data folder is kept.

use serde_json::{Value, json};

use super::{config_name, labels, metadata, namespace_name, selector};
use crate::workload::{DATA, PORT, PRE_STOP, USER, Workload};
use crate::{Secret, text};

/// Seconds between two questions of a probe.
const STARTUP_PERIOD: u64 = 5;

pub(super) fn deployment(workload: &Workload) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "replicas": replicas(workload),
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 600,
            "selector": { "matchLabels": selector(workload) },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": template(workload),
        },
    })
}

pub(super) fn stateful_set(workload: &Workload) -> Value {
    let size = workload.sizing.storage_bytes.map(text::bytes);
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "replicas": replicas(workload),
            "revisionHistoryLimit": 5,
            "serviceName": format!("{}-replicas", workload.name),
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": selector(workload) },
            "updateStrategy": { "type": "RollingUpdate" },
            // What a replica recorded is not thrown away because there are fewer of them for an hour.
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "template": template(workload),
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOncePod"],
                    "resources": { "requests": { "storage": size } },
                },
            }],
        },
    })
}

/// The number of replicas where nothing else owns it.
fn replicas(workload: &Workload) -> Option<u32> {
    (!workload.scaled()).then_some(workload.sizing.replicas_min)
}

fn template(workload: &Workload) -> Value {
    json!({
        "metadata": {
            "labels": labels(workload),
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": PORT.to_string(),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": {
            "serviceAccountName": workload.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": workload.grace().as_secs(),
            "securityContext": pod_security(),
            "topologySpreadConstraints": workload.several().then(|| spread(workload)),
            "containers": [container(workload)],
            "volumes": volumes(workload),
        },
    })
}

/// Replicas of one version go to different machines and zones, as far as there are several.
pub(in crate::targets) fn spread(workload: &Workload) -> Value {
    let over = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector(workload) },
            "matchLabelKeys": (workload.sizing.storage_bytes.is_none()).then(|| json!(["pod-template-hash"])),
        })
    };
    json!([over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")])
}

fn container(workload: &Workload) -> Value {
    let cpu = text::cpu(workload.sizing.cpu_milli);
    let memory = text::bytes(workload.sizing.memory_bytes);
    json!({
        "name": "agent",
        "image": workload.image(),
        "imagePullPolicy": "IfNotPresent",
        "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
        "envFrom": [{ "configMapRef": { "name": config_name(workload) } }],
        "env": environment(workload),
        "resources": {
            "requests": { "cpu": cpu, "memory": memory, "ephemeral-storage": "128Mi" },
            "limits": {
                "cpu": workload.sizing.cpu_limit.then_some(cpu.as_str()),
                "memory": memory,
                "ephemeral-storage": "1Gi",
            },
        },
        "startupProbe": probe("/health", STARTUP_PERIOD, workload.start.as_secs().div_ceil(STARTUP_PERIOD)),
        "livenessProbe": probe("/health", 10, 3),
        "readinessProbe": probe("/ready", 5, 3),
        // The order to stop comes while others still send: what is on its way gets a moment.
        "lifecycle": { "preStop": { "sleep": { "seconds": PRE_STOP.as_secs() } } },
        "securityContext": container_security(),
        "volumeMounts": mounts(workload),
    })
}

fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// What the `restricted` standard asks for, and a root that cannot be written.
fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// A pod that runs the image once, with other arguments and none of the service's data.
pub(in crate::targets) fn plain_pod(workload: &Workload, arguments: &[&str]) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": pod_security(),
        "containers": [{
            "name": "once",
            "image": workload.image(),
            "imagePullPolicy": "IfNotPresent",
            "args": arguments,
            "resources": {
                "requests": { "cpu": "50m", "memory": "64Mi", "ephemeral-storage": "16Mi" },
                "limits": { "memory": "256Mi", "ephemeral-storage": "64Mi" },
            },
            "securityContext": container_security(),
        }],
    })
}

fn probe(path: &str, period: u64, failures: u64) -> Value {
    json!({
        "httpGet": { "path": path, "port": "http" },
        "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures,
    })
}

/// Secrets by name, and who this replica is.
fn environment(workload: &Workload) -> Value {
    let field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut entries = vec![field("NAMESPACE", "metadata.namespace"), field("POD_NAME", "metadata.name")];
    for secret in &workload.secrets {
        if let Secret::Variable { variable, key } = secret {
            let reference = json!({ "name": workload.secret_name(), "key": key });
            entries.push(json!({ "name": variable, "valueFrom": { "secretKeyRef": reference } }));
        }
    }
    Value::Array(entries)
}

fn files(workload: &Workload) -> impl Iterator<Item = (&str, &str)> {
    workload.secrets.iter().filter_map(|secret| match secret {
        Secret::File { path, key } => Some((path.as_str(), key.as_str())),
        Secret::Variable { .. } => None,
    })
}

fn mounts(workload: &Workload) -> Value {
    let data = json!({ "name": "data", "mountPath": DATA });
    Value::Array([data].into_iter().chain(passing_mounts(workload)).collect())
}

fn volumes(workload: &Workload) -> Value {
    let mut volumes = passing_volumes(workload);
    if workload.sizing.storage_bytes.is_none() {
        volumes.insert(1, json!({ "name": "data", "emptyDir": { "sizeLimit": "512Mi" } }));
    }
    Value::Array(volumes)
}

/// Where every run of the image finds what passes with it, and the secrets that are files.
pub(in crate::targets) fn passing_mounts(workload: &Workload) -> Vec<Value> {
    let mut mounts = vec![json!({ "name": "tmp", "mountPath": "/tmp" })];
    for (path, key) in files(workload) {
        mounts.push(json!({ "name": "secrets", "mountPath": path, "subPath": key, "readOnly": true }));
    }
    mounts
}

/// The volumes of those.
pub(in crate::targets) fn passing_volumes(workload: &Workload) -> Vec<Value> {
    let mut volumes = vec![json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } })];
    let items: Vec<Value> = files(workload).map(|(_, key)| json!({ "key": key, "path": key })).collect();
    if !items.is_empty() {
        let secret = json!({ "secretName": workload.secret_name(), "defaultMode": 0o440, "items": items });
        volumes.push(json!({ "name": "secrets", "secret": secret }));
    }
    volumes
}

/// How others name the workload, e.g. a scaler.
pub(super) fn reference(workload: &Workload) -> Value {
    let kind = if workload.sizing.storage_bytes.is_some() { "StatefulSet" } else { "Deployment" };
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": workload.name })
}

/// The query for the requests in flight of all replicas.
pub(super) fn in_flight(workload: &Workload) -> String {
    format!("sum({}{{namespace=\"{}\"}})", super::scaling::IN_FLIGHT, namespace_name(workload))
}
