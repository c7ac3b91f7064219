//! A plan for the tests of targets, made without a spec.

use std::time::Duration;

use mainstay_core::plan::{Access, Anonymous, App, Data, Deploy, Metrics, Process, Server};
use mainstay_core::resources::Resources;
use mainstay_core::{Name, Plan};
use serde_json::Value;

use crate::{Pins, Project, Rendered, Shipment, Workload, targets};

/// A service without agents, that anyone may call, shipped so.
pub(crate) fn plan(deploy: Deploy) -> Plan {
    let second = Duration::from_secs(1);
    Plan {
        name: Name::parse("desk").unwrap(),
        folder: "/spec".into(),
        server: Server {
            listen: ([127, 0, 0, 1], 8080).into(),
            drain: 30 * second,
            request_timeout: 60 * second,
            body_timeout: second,
            header_timeout: second,
            idle_timeout: second,
            write_timeout: second,
            body_bytes_max: 1 << 20,
            connections_max: 1,
            requests_max: 1,
        },
        access: Access { anonymous: Anonymous::Anyone, ..Access::default() },
        data: Data { folder: "/data".into(), retention: second, bytes_max: 1 },
        metrics: Metrics::default(),
        providers: Default::default(),
        models: Default::default(),
        tools: Default::default(),
        agents: Default::default(),
        default_agent: None,
        apps: Default::default(),
        resources: Resources::default(),
        sidecar: None,
        deploy,
    }
}

/// An app that is no agent, started by a command, whose routes begin with `/tickets`.
pub(crate) fn app(url: &str) -> App {
    let second = Duration::from_secs(1);
    App {
        process: Process {
            url: url.to_owned(),
            command: Some("python3 app.py".to_owned()),
            env: Vec::new(),
            health_path: "/health".to_owned(),
            start_timeout: 90 * second,
        },
        description: String::new(),
        routes: vec!["/tickets".to_owned()],
        timeout: 30 * second,
    }
}

/// How a service is shipped whose image and repository are known.
pub(crate) fn deploy() -> Deploy {
    Deploy {
        image: Some("ghcr.io/acme/desk".to_owned()),
        repository: Some("https://github.com/acme/desk".to_owned()),
        ..Deploy::default()
    }
}

/// What a target makes of it, in production.
pub(crate) fn rendered(name: &str, deploy: Deploy) -> mainstay_core::Result<Rendered> {
    with(deploy, |shipment| (targets::find(name).unwrap().render)(shipment))
}

/// Something asked of the shipment of a service, in production.
pub(crate) fn with<T>(deploy: Deploy, ask: impl FnOnce(&Shipment<'_>) -> T) -> T {
    let (plan, pins) = (plan(deploy), Pins::default());
    let project = Project {
        plan: &plan,
        secrets: &[],
        library_models: &[],
        files: &[],
        hash: "0123456789abcdef",
        version: "1.2.3",
        context: "../..",
        out: "deploy",
        digest: None,
        pins: &pins,
    };
    let workload = Workload::of(&project, mainstay_core::plan::Environment::Prod).unwrap();
    ask(&Shipment { project: &project, workload: &workload })
}

/// The jobs that a job waits for, in its `needs`.
pub(crate) fn needs(job: &Value) -> Vec<&str> {
    let needs = job["needs"].as_array().map(Vec::as_slice).unwrap_or_default();
    needs.iter().filter_map(|need| need.as_str().or_else(|| need["job"].as_str())).collect()
}
