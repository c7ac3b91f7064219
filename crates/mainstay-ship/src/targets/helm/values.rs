//! The values of an environment, and which holes they fill.

use serde_json::{Value, json};

use mainstay_core::plan::{Route, Scaler};

use super::holes;
use crate::targets::kubernetes::{Object, scaling};
use crate::value::dense;
use crate::workload::Workload;
use crate::{Secret, text};

/// The values of a service in an environment.
pub(super) fn of(workload: &Workload) -> Value {
    let sizing = &workload.sizing;
    let cpu = text::cpu(sizing.cpu_milli);
    let memory = text::bytes(sizing.memory_bytes);
    let mut limits = json!({ "memory": memory, "ephemeral-storage": "1Gi" });
    if sizing.cpu_limit {
        limits = json!({ "cpu": cpu, "memory": memory, "ephemeral-storage": "1Gi" });
    }
    let secrets: Vec<Value> = workload
        .secrets
        .iter()
        .filter_map(|secret| match secret {
            Secret::Variable { variable, key } => Some(json!({ "variable": variable, "key": key })),
            Secret::File { .. } => None,
        })
        .collect();
    json!({
        "image": {
            "repository": workload.repository,
            "tag": workload.tag,
            "digest": workload.digest.clone().unwrap_or_default(),
        },
        "createNamespace": false,
        "variables": workload.variables,
        "secretName": workload.secret_name(),
        "secrets": secrets,
        "resources": {
            "requests": { "cpu": cpu, "memory": memory, "ephemeral-storage": "128Mi" },
            "limits": limits,
        },
        "storage": sizing.storage_bytes.map_or_else(String::new, text::bytes),
        "replicas": { "min": sizing.replicas_min, "max": sizing.replicas_max },
        "scaler": match sizing.scaler {
            Scaler::BuiltIn => "hpa",
            Scaler::Events => "keda",
            Scaler::Fixed => "fixed",
        },
        "inFlight": sizing.in_flight,
        "cpuPercent": sizing.cpu_percent.unwrap_or(0),
        "behavior": scaling::behavior(sizing),
        "host": sizing.host.clone().unwrap_or_default(),
        "route": match sizing.route {
            Route::Gateway => "gateway",
            Route::Ingress => "ingress",
        },
        "migration": { "command": [], "timeoutSeconds": 300 },
    })
}

/// When something adds and removes replicas.
const SCALED: &str =
    r#"and (ne .Values.scaler "fixed") (lt (int .Values.replicas.min) (int .Values.replicas.max))"#;
const SEVERAL: &str = "gt (int .Values.replicas.max) 1";

/// When an object is there.
pub(super) fn condition(file: &str) -> Option<&'static str> {
    Some(match file {
        "namespace" => ".Values.createNamespace",
        "autoscaler" => {
            r#"and (eq .Values.scaler "hpa") (lt (int .Values.replicas.min) (int .Values.replicas.max))"#
        }
        "scaled-object" => {
            r#"and (eq .Values.scaler "keda") (lt (int .Values.replicas.min) (int .Values.replicas.max))"#
        }
        "disruption-budget" => SEVERAL,
        "route" => r#"and .Values.host (eq .Values.route "gateway")"#,
        "ingress" => r#"and .Values.host (eq .Values.route "ingress")"#,
        _ => return None,
    })
}

/// An object with its holes.
pub(super) fn cut(object: &Object, workload: &Workload) -> Value {
    let mut value = object.value.clone();
    let namespace = holes::value(".Release.Namespace");
    match object.file {
        "namespace" => value["metadata"]["name"] = namespace,
        _ => value["metadata"]["namespace"] = namespace,
    }
    for at in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(version) = value.pointer_mut(&format!("{at}/app.kubernetes.io~1version")) {
            *version = holes::value(".Values.image.tag | trunc 63 | quote");
        }
    }
    match object.file {
        "config-map" => {
            value["metadata"]["name"] = holes::value("include \"variables\" .");
            value["data"] = holes::block("toYaml .Values.variables");
        }
        "service" => {
            value["spec"]["sessionAffinity"] = "ClientIP".into();
            holes::make_conditional(&mut value, "/spec", "sessionAffinity", SEVERAL);
        }
        "deployment" | "stateful-set" => cut_workload(&mut value, workload),
        "autoscaler" => cut_autoscaler(&mut value),
        "scaled-object" => cut_scaled_object(&mut value),
        "route" => value["spec"]["hostnames"] = json!([holes::value(".Values.host | quote")]),
        "ingress" => {
            value["spec"]["rules"][0]["host"] = holes::value(".Values.host | quote");
            value["spec"]["tls"][0]["hosts"] = json!([holes::value(".Values.host | quote")]);
        }
        _ => {}
    }
    dense(value)
}

/// Puts the hole of the image in its place.
pub(super) fn cut_image(value: &mut Value, at: &str) {
    if let Some(image) = value.pointer_mut(at) {
        *image = holes::value("include \"image\" . | quote");
    }
}

/// Puts the hole of the secret's name where a pod has its files.
pub(super) fn cut_secret(pod: &mut Value) {
    for volume in pod["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(name) = volume.pointer_mut("/secret/secretName") {
            *name = holes::value(".Values.secretName | quote");
        }
    }
}

fn cut_workload(value: &mut Value, workload: &Workload) {
    cut_image(value, "/spec/template/spec/containers/0/image");
    let spread = crate::targets::kubernetes::spread(workload);
    let spec = &mut value["spec"];
    spec["replicas"] = holes::value(".Values.replicas.min");
    if let Some(size) = spec.pointer_mut("/volumeClaimTemplates/0/spec/resources/requests/storage") {
        *size = holes::value(".Values.storage | quote");
    }
    let pod = &mut spec["template"]["spec"];
    pod["topologySpreadConstraints"] = spread;
    cut_secret(pod);
    let container = &mut pod["containers"][0];
    container["envFrom"][0]["configMapRef"]["name"] = holes::value("include \"variables\" .");
    container["env"] = holes::block("include \"environment\" .");
    container["resources"] = holes::block("toYaml .Values.resources");
    holes::make_conditional(value, "/spec", "replicas", &format!("not ({SCALED})"));
    holes::make_conditional(value, "/spec/template/spec", "topologySpreadConstraints", SEVERAL);
}

fn cut_autoscaler(value: &mut Value) {
    let spec = &mut value["spec"];
    spec["minReplicas"] = holes::value(".Values.replicas.min");
    spec["maxReplicas"] = holes::value(".Values.replicas.max");
    spec["metrics"] = holes::block("include \"metrics\" .");
    spec["behavior"] = holes::block("toYaml .Values.behavior");
}

fn cut_scaled_object(value: &mut Value) {
    let spec = &mut value["spec"];
    spec["minReplicaCount"] = holes::value(".Values.replicas.min");
    spec["maxReplicaCount"] = holes::value(".Values.replicas.max");
    spec["triggers"] = holes::block("include \"triggers\" .");
    spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] = holes::block("toYaml .Values.behavior");
}

/// The schema of the values. It has no defaults: those would come in beside what a file of values says.
pub(super) fn schema() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let object = |properties: Value, required: &[&str]| json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required });
    let quantities = json!({ "type": "object", "additionalProperties": { "type": ["string", "integer"] } });
    let digest = json!({ "type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$" });
    let mut schema = object(
        json!({
            "image": object(json!({ "repository": text, "tag": text, "digest": digest }), &["repository"]),
            "createNamespace": { "type": "boolean" },
            "variables": { "type": "object", "additionalProperties": text },
            "secretName": text,
            "secrets": {
                "type": "array",
                "items": object(json!({ "variable": text, "key": text }), &["variable", "key"]),
            },
            "resources": object(json!({ "requests": quantities, "limits": quantities }), &["requests"]),
            "storage": text,
            "replicas": object(json!({ "min": count, "max": { "type": "integer", "minimum": 1 } }), &["min", "max"]),
            "scaler": { "enum": ["hpa", "keda", "fixed"] },
            "inFlight": { "type": "integer", "minimum": 1 },
            "cpuPercent": count,
            "behavior": { "type": "object" },
            "host": text,
            "route": { "enum": ["gateway", "ingress"] },
            "migration": object(
                json!({
                    "command": { "type": "array", "items": text },
                    "timeoutSeconds": { "type": "integer", "minimum": 1 },
                }),
                &["command"],
            ),
            "global": { "type": "object" },
        }),
        &["image", "replicas", "resources", "scaler"],
    );
    schema["$schema"] = "https://json-schema.org/draft-07/schema#".into();
    schema
}

/// What is shown after an installation.
pub(super) fn notes(workload: &Workload) -> String {
    let name = &workload.name;
    let mut out = format!(
        "{name} {{{{ .Values.image.tag }}}} is being rolled out in {{{{ .Release.Namespace }}}}.\n\n  \
         helm test {{{{ .Release.Name }}}} --namespace {{{{ .Release.Namespace }}}}\n  \
         kubectl --namespace {{{{ .Release.Namespace }}}} port-forward service/{name} 8080:80\n"
    );
    if !workload.secrets.is_empty() {
        out.push_str(
            "\nIt waits for the secret {{ .Values.secretName }}, which the chart does not make: values of secrets belong \
             into no file of values.\n",
        );
    }
    out
}
