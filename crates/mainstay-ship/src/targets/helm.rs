//! A Helm chart: the objects of the plain files with holes in them, and a file of values for each environment that
//! fills the holes to give those objects back.
//!
//! The holes are cut into the objects as values (`holes`), so no template is written by hand but the few helpers.

mod holes;
mod values;

use serde_json::{Value, json};

use mainstay_core::plan::Environment;
use mainstay_core::{Error, Result, codes};

use super::kubernetes::{self, Object};
use super::{Rendered, Target, environments};
use crate::value::dense;
use crate::workload::Workload;
use crate::{File, Shipment, patched};

pub(super) const TARGET: Target = Target {
    name: "helm",
    about: "a Helm chart, and values for each environment",
    needs: &["docker"],
    render,
};

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let workloads = environments(shipment.project)?;
    alike(&workloads)?;
    let mut files = vec![
        File::yaml("Chart.yaml", &header, chart(shipment.workload)),
        File::new(".helmignore", header.lines("#") + ".git\n*.orig\n*.tmp\n"),
        File::json("values.schema.json", &header, values::schema()),
        File::new("templates/_helpers.tpl", helpers(shipment.workload)),
        File::new("templates/NOTES.txt", values::notes(shipment.workload)),
    ];
    for workload in &workloads {
        let name = match workload.environment {
            // What is installed without a file of values is production.
            Environment::Prod => "values.yaml".to_owned(),
            environment => format!("values-{environment}.yaml"),
        };
        files.push(File::yaml(name, &header, values::of(workload)));
    }
    for object in union(&workloads)? {
        let template = values::cut(&object, shipment.workload);
        patched::holds(&shipment.workload.patches, &object, &template)?;
        let text = holes::template(&template, values::condition(object.file));
        files.push(File::new(format!("templates/{}.yaml", object.file), text));
    }
    files.push(File::new("templates/tests/ready.yaml", holes::template(&test(shipment.workload), None)));
    files.push(File::new(
        "templates/migration.yaml",
        holes::template(&migration(shipment.workload), Some(MIGRATES)),
    ));
    Ok(Rendered { files, notes: kubernetes::notes(shipment.workload) })
}

/// When the hook that migrates is there.
const MIGRATES: &str = ".Values.migration.command";

/// One chart serves every environment, so what shapes the workload must be the same in all.
fn alike(workloads: &[Workload]) -> Result<()> {
    let stored = |workload: &Workload| workload.sizing.storage_bytes.is_some();
    if workloads.windows(2).all(|pair| stored(&pair[0]) == stored(&pair[1])) {
        return Ok(());
    }
    let message = "one chart cannot keep the data folder in one environment and not in another";
    let help = "give `storage` under `deploy.base`, or in no environment";
    Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(help))
}

/// Every object that some environment has; where several do, production's.
fn union(workloads: &[Workload]) -> Result<Vec<Object>> {
    let mut found: Vec<Object> = Vec::new();
    for workload in workloads.iter().rev() {
        for object in kubernetes::objects(workload)? {
            if !found.iter().any(|other| other.file == object.file) {
                found.push(object);
            }
        }
    }
    Ok(found)
}

fn chart(workload: &Workload) -> Value {
    let version = if semver(&workload.tag) { workload.tag.clone() } else { "0.1.0".to_owned() };
    json!({
        "apiVersion": "v2",
        "name": workload.name,
        "description": format!("The agent service {}", workload.name),
        "type": "application",
        "version": version,
        "appVersion": workload.tag,
        "kubeVersion": ">=1.30.0-0",
    })
}

/// Whether a tag is a version as Helm wants one: three numbers, and what may follow them.
fn semver(tag: &str) -> bool {
    let core = tag.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// What `helm test` runs: the binary's own question for its readiness.
fn test(workload: &Workload) -> Value {
    let mut pod = hook(workload, "ready", "Pod", "v1", "test");
    let mut spec =
        kubernetes::plain_pod(workload, &["healthcheck", "--url", &format!("http://{}", workload.name)]);
    spec["restartPolicy"] = "Never".into();
    pod["spec"] = spec;
    values::cut_image(&mut pod, "/spec/containers/0/image");
    dense(pod)
}

/// What runs before a new version does, where the values name a command.
fn migration(workload: &Workload) -> Value {
    let mut job = hook(workload, "migration", "Job", "batch/v1", "pre-install,pre-upgrade");
    let mut spec = kubernetes::plain_pod(workload, &[]);
    spec["restartPolicy"] = "Never".into();
    spec["containers"][0]["env"] = holes::block("include \"everything\" .");
    spec["containers"][0]["command"] = holes::block("toYaml .Values.migration.command");
    spec["containers"][0]["volumeMounts"] = kubernetes::passing_mounts(workload).into();
    spec["volumes"] = kubernetes::passing_volumes(workload).into();
    values::cut_secret(&mut spec);
    if let Some(container) = spec["containers"][0].as_object_mut() {
        container.remove("args");
    }
    job["spec"] = json!({
        "backoffLimit": 0,
        "activeDeadlineSeconds": holes::value(".Values.migration.timeoutSeconds"),
        "template": { "spec": spec },
    });
    values::cut_image(&mut job, "/spec/template/spec/containers/0/image");
    dense(job)
}

fn hook(workload: &Workload, name: &str, kind: &str, version: &str, when: &str) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": format!("{}-{name}", workload.name),
            "namespace": holes::value(".Release.Namespace"),
            "annotations": {
                "helm.sh/hook": when,
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
            },
        },
    })
}

/// What several templates need.
fn helpers(workload: &Workload) -> String {
    [naming(&workload.name), environment(), scaling()].concat()
}

/// The hash is of the same text as in the plain files, so the names are the same.
fn naming(name: &str) -> String {
    format!(
        r#"{{{{- /* The image: by digest where one is given, else by tag. */ -}}}}
{{{{- define "image" -}}}}
{{{{- if .Values.image.digest -}}}}
{{{{ .Values.image.repository }}}}@{{{{ .Values.image.digest }}}}
{{{{- else -}}}}
{{{{ .Values.image.repository }}}}:{{{{ .Values.image.tag }}}}
{{{{- end -}}}}
{{{{- end -}}}}

{{{{- /* The name of the variables' ConfigMap: a change of theirs makes new replicas. */ -}}}}
{{{{- define "variables" -}}}}
{{{{- $text := "" -}}}}
{{{{- range $name, $value := .Values.variables -}}}}
{{{{- $text = printf "%s%s=%s\x00" $text $name $value -}}}}
{{{{- end -}}}}
{name}-env-{{{{ $text | sha256sum | trunc 10 }}}}
{{{{- end -}}}}

"#
    )
}

fn environment() -> String {
    r#"{{- /* Secrets as variables, by name alone. */ -}}
{{- define "environment" -}}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- range .Values.secrets }}
- name: {{ .variable | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.secretName | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end -}}

{{- /* The same with the plain variables, for what runs before their ConfigMap is there. */ -}}
{{- define "everything" -}}
{{ include "environment" . }}
{{- range $name, $value := .Values.variables }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

"#
    .to_owned()
}

fn scaling() -> String {
    format!(
        r#"{{{{- /* What the autoscaler follows. */ -}}}}
{{{{- define "metrics" -}}}}
- type: Pods
  pods:
    metric:
      name: {metric}
    target:
      type: AverageValue
      averageValue: {{{{ .Values.inFlight | quote }}}}
{{{{- if .Values.cpuPercent }}}}
- type: Resource
  resource:
    name: cpu
    target:
      type: Utilization
      averageUtilization: {{{{ .Values.cpuPercent }}}}
{{{{- end }}}}
{{{{- end -}}}}

{{{{- /* What KEDA follows. */ -}}}}
{{{{- define "triggers" -}}}}
- type: prometheus
  metadata:
    serverAddress: {prometheus}
    query: sum({metric}{{namespace="{{{{ .Release.Namespace }}}}"}})
    threshold: {{{{ .Values.inFlight | quote }}}}
{{{{- if .Values.cpuPercent }}}}
- type: cpu
  metricType: Utilization
  metadata:
    value: {{{{ .Values.cpuPercent | quote }}}}
{{{{- end }}}}
{{{{- end -}}}}
"#,
        metric = kubernetes::IN_FLIGHT,
        prometheus = kubernetes::PROMETHEUS,
    )
}
