//! Dapr beside the service: for clusters whose sidecars are there already and are to stay. The service's own building
//! blocks are switched off, and its app speaks to the runtime that the cluster puts beside it.
//!
//! It is a component of Kustomize over the overlay of the environment, so that the objects stay those of the other
//! targets. Without it there is no sidecar: the binary serves the same API itself.

pub(super) mod resources;

use serde_json::{Value, json};

use mainstay_core::plan::{Agent, AgentKind, Process};
use mainstay_core::{Error, Name, Plan, Result, codes};

use super::{Rendered, Target};
use crate::label::slug;
use crate::value::texts;
use crate::workload::{PORT, PRE_STOP, Workload};
use crate::{File, Shipment};

pub(super) const TARGET: Target = Target {
    name: "dapr",
    about: "Dapr beside the service, over the overlays: components, annotations",
    needs: &["docker", "kustomize"],
    render,
};

/// Where the control plane is.
const SYSTEM: &str = "dapr-system";
/// The port on which sidecars call each other.
const INTERNAL: u16 = 50002;
/// Seconds that the sidecar has once the service has ended; less than what is left of the pod's time then.
const SHUTDOWN_SECONDS: u64 = 5;
/// Characters of an app id.
const APP_ID_MAX: usize = 63;
/// What a shipped service is told so that it serves no building blocks itself.
pub(super) const OFF: (&str, &str) = ("MAINSTAY_SIDECAR", "off");

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let Shipment { project, workload } = shipment;
    let plan = project.plan;
    if plan.sidecar.is_none() {
        let message = "the spec has no `components`, so there is nothing that Dapr would do for it";
        return Err(Error::new(&codes::SHIP_INCOMPLETE, message)
            .with_help("leave the target out: a service without components needs no sidecar"));
    }
    if ids(plan) > 1 {
        let message = format!(
            "the spec has {} apps that find each other by their ids, and Dapr puts one runtime with one id beside a pod",
            ids(plan)
        );
        return Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(
            "leave the target out, for the service serves the same building blocks to each of them itself; or give \
             each app a service of its own",
        ));
    }
    let (header, app_id) = (project.header(), app_id(plan));
    let resources::Found { objects: components, mut notes } = resources::of(plan, workload, &app_id)?;
    let file = |path: String, value: &Value| File::yaml(path, &header, value.clone());
    let mut files = vec![
        file("kustomization.yaml".to_owned(), &kustomization(workload)),
        file("component/kustomization.yaml".to_owned(), &component(workload, &components)),
        file("component/workload.yaml".to_owned(), &workload_patch(plan, workload, &app_id)),
        file("component/network-policy.yaml".to_owned(), &network_patch()),
        File::new("README.md", header.lines("<!--") + "\n" + &readme(workload, &app_id)),
    ];
    files.extend(
        components.iter().map(|(name, value)| file(format!("component/resources/{name}.yaml"), value)),
    );
    if app_id != id(plan).as_str() {
        notes.push(format!("The app id is `{app_id}`: Dapr takes no such name as `{}`.", id(plan)));
    }
    Ok(Rendered { files, notes })
}

/// The app's id, as far as it can be one of Dapr's.
pub(super) fn app_id(plan: &Plan) -> String {
    slug(id(plan).as_str(), APP_ID_MAX)
}

fn kustomization(workload: &Workload) -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [format!("../kustomize/overlays/{}", workload.environment)],
        "components": ["component"],
    })
}

fn component(workload: &Workload, resources: &[(String, Value)]) -> Value {
    let kind = if workload.sizing.storage_bytes.is_some() { "StatefulSet" } else { "Deployment" };
    let patch =
        |path: &str, kind: &str| json!({ "path": path, "target": { "kind": kind, "name": workload.name } });
    let resources: Vec<String> = resources.iter().map(|(name, _)| format!("resources/{name}.yaml")).collect();
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": resources,
        "patches": [patch("workload.yaml", kind), patch("network-policy.yaml", "NetworkPolicy")],
    })
}

/// Operations on the workload: what the injector reads, and the order to serve no building blocks.
fn workload_patch(plan: &Plan, workload: &Workload, app_id: &str) -> Value {
    let mut operations: Vec<Value> = annotations(plan, workload, app_id)
        .into_iter()
        .map(|(name, value)| {
            let path = format!("/spec/template/metadata/annotations/dapr.io~1{name}");
            json!({ "op": "add", "path": path, "value": value })
        })
        .collect();
    operations.push(json!({
        "op": "add",
        "path": "/spec/template/spec/containers/0/env/-",
        "value": texts([("name", OFF.0), ("value", OFF.1)]),
    }));
    Value::Array(operations)
}

/// What the injector reads, without its prefix.
fn annotations(plan: &Plan, workload: &Workload, app_id: &str) -> Vec<(&'static str, String)> {
    let app = app(plan);
    let (port, health) = match app {
        Some((_, process)) => (port(&process.url), process.health_path.clone()),
        None => (PORT, "/ready".to_owned()),
    };
    let most = app.map_or(workload.requests_max, |(calls_max, _)| calls_max);
    // It goes on while the service drains: the app may need it to the end.
    let block = PRE_STOP + workload.drain;
    vec![
        ("enabled", "true".to_owned()),
        ("app-id", app_id.to_owned()),
        ("app-port", port.to_string()),
        ("app-protocol", "http".to_owned()),
        ("app-max-concurrency", most.to_string()),
        ("enable-app-health-check", "true".to_owned()),
        ("app-health-check-path", health),
        ("block-shutdown-duration", format!("{}s", block.as_secs())),
        ("graceful-shutdown-seconds", SHUTDOWN_SECONDS.to_string()),
        ("sidecar-cpu-request", "100m".to_owned()),
        ("sidecar-memory-request", "250Mi".to_owned()),
        ("sidecar-memory-limit", "1000Mi".to_owned()),
        ("env", "GOMEMLIMIT=900MiB".to_owned()),
        ("sidecar-seccomp-profile-type", "RuntimeDefault".to_owned()),
        // The pod has no token of the cluster's, on purpose.
        ("disable-builtin-k8s-secret-store", "true".to_owned()),
        ("log-as-json", "true".to_owned()),
    ]
}

/// The app that has the runtime beside the pod, and how many calls it takes at once: the only one of the spec's `apps`,
/// or that of the agents, the default one's or the only one, as in a service without Dapr. One that runs elsewhere is
/// not in the pod.
pub(super) fn app(plan: &Plan) -> Option<(u32, &Process)> {
    fn of(agent: &Agent) -> Option<(u32, &Process)> {
        match &agent.kind {
            AgentKind::App(app) => here(&app.process).map(|process| (agent.concurrency_max, process)),
            AgentKind::Declared(_) => None,
        }
    }
    fn here(process: &Process) -> Option<&Process> {
        Some(process).filter(|process| process.command.is_some())
    }
    if let Some(app) = plan.apps.values().next() {
        return here(&app.process).map(|process| (plan.server.requests_max, process));
    }
    let mut apps = plan.agents.values().filter_map(of);
    let only = apps.next().filter(|_| apps.next().is_none());
    plan.default_agent.as_ref().and_then(|name| plan.agents.get(name)).and_then(of).or(only)
}

/// The id of that app, as the components' scopes name it.
pub(super) fn id(plan: &Plan) -> &Name {
    plan.apps.keys().next().unwrap_or(&plan.name)
}

/// How many ids the apps of a spec have. Where there are several, each has a sidecar of its own in the service, and the
/// one beside a pod cannot stand for them.
pub(super) fn ids(plan: &Plan) -> usize {
    let of_agents = plan.agents.values().any(|agent| matches!(agent.kind, AgentKind::App(_)));
    plan.apps.len() + usize::from(of_agents)
}

/// The port of an app's address.
pub(super) fn port(url: &str) -> u16 {
    let authority =
        url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80)
}

/// The sidecar reaches the control plane and other sidecars, and is reached by them.
fn network_patch() -> Value {
    let system = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": SYSTEM } } });
    let internal = json!([{ "port": INTERNAL, "protocol": "TCP" }]);
    json!([
        { "op": "add", "path": "/spec/egress/-", "value": { "to": [system] } },
        { "op": "add", "path": "/spec/egress/-", "value": {
            "to": [{ "namespaceSelector": {} }], "ports": internal,
        } },
        { "op": "add", "path": "/spec/ingress/-", "value": {
            "from": [{ "namespaceSelector": {} }], "ports": internal,
        } },
    ])
}

fn readme(workload: &Workload, app_id: &str) -> String {
    let (name, environment) = (&workload.name, workload.environment);
    format!(
        "# {name} beside Dapr ({environment})\n\n\
         You need this only where a cluster has Dapr and the service is to use it. Without it there is no sidecar: the\n\
         service serves the same building blocks to its app itself, over the same component files, and the other targets\n\
         are complete as they are.\n\n\
         It is for calls between apps through Dapr's own mTLS, for component types that Mainstay does not have, and for\n\
         services that move from one to the other step by step.\n\n\
         ```sh\nkubectl kustomize . | kubectl apply -f -\n```\n\n\
         What it adds to the overlay `{environment}`:\n\n\
         - the components as objects of the cluster, for the app `{app_id}` alone (`scopes`);\n\
         - the annotations that make the injector put a sidecar into the pod, with bounds for it. It goes on while the\n  \
         service drains (`block-shutdown-duration`), and ends within the pod's time;\n\
         - `{off}={value}` for the service, so that two do not fight for ports 3500 and 50001;\n\
         - ways in the network policy to the control plane in `{SYSTEM}` and to other sidecars.\n\n\
         ## Worth knowing\n\n\
         - The namespace admits `restricted` pods alone. Install Dapr with\n  \
         `dapr_sidecar_injector.sidecarDropALLCapabilities=true`, or its sidecars are refused.\n\
         - Secrets of components are read from the Secret `{secret}`, as the service's own.\n\
         - Dapr measures the sidecar: what it shows is at port 9090 of the pod.\n",
        off = OFF.0,
        value = OFF.1,
        secret = workload.secret_name(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn one_app_has_the_runtime_under_its_own_id_and_several_are_refused() {
        let app = |name: &str| (Name::parse(name).unwrap(), fixture::app("http://127.0.0.1:8100"));
        let mut plan = fixture::plan(fixture::deploy());
        assert_eq!((ids(&plan), app_id(&plan).as_str()), (0, "desk"));
        plan.apps.extend([app("Tickets")]);
        assert_eq!((ids(&plan), app_id(&plan).as_str()), (1, "tickets"));
        assert_eq!(super::app(&plan).map(|(_, process)| port(&process.url)), Some(8100));
        plan.apps.extend([app("mail")]);
        assert_eq!(ids(&plan), 2);
        // One that runs elsewhere has no runtime beside this pod.
        let mut elsewhere = fixture::app("http://tickets.internal:8100");
        elsewhere.process.command = None;
        plan.apps = [(Name::parse("tickets").unwrap(), elsewhere)].into();
        assert!(super::app(&plan).is_none());
    }

    #[test]
    fn the_port_of_an_app_is_that_of_its_address() {
        for (url, expect) in [
            ("http://127.0.0.1:8000", 8000),
            ("http://127.0.0.1:8000/base", 8000),
            ("http://localhost", 80),
            ("http://[::1]:9000/", 9000),
        ] {
            assert_eq!(port(url), expect, "{url}");
        }
    }
}
