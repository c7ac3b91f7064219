//! `deploy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::quantity::{Size, Time};

/// What `mainstay ship` writes deployment files from. A server does not read it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deploy {
    /// The repository of the service's image, without a tag, e.g. `ghcr.io/acme/support-desk`. The service's name
    /// without it, which only a build on the same machine can find.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 255),
        regex(pattern = "^[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$")
    )]
    pub(crate) image: Option<String>,
    /// The version that is shipped: the tag of the image.
    #[schemars(regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"))]
    pub(crate) version: String,
    /// The address of the git repository with the spec at its root, e.g. `https://github.com/acme/support-desk`. What
    /// fetches deployment files from there, or lets its pipeline in, asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 255),
        regex(
            pattern = "^(https://|ssh://([A-Za-z0-9._-]+@)?)[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)+$"
        )
    )]
    pub(crate) repository: Option<String>,
    /// The branch that is deployed.
    #[schemars(regex(
        pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,3}$"
    ))]
    pub(crate) branch: String,
    /// What the app agents are written in. Found by the files beside the spec without it: `pyproject.toml` or
    /// `requirements.txt`, `package.json`, `Cargo.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<Language>,
    /// Servers to bring up beside the service where a target can. Those that the components' types need come without
    /// being named.
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) services: Vec<String>,
    /// What Terraform modules are written for.
    pub(crate) terraform: Terraform,
    /// Requests that are to be answered without a failure of the service, in percent over 30 days. Alerts are raised by
    /// how fast the rest is used up.
    #[schemars(range(min = 50.0, max = 99.999))]
    pub(crate) objective_percent: f64,
    /// What every environment gives the service, unless it says otherwise itself.
    pub(crate) base: Sizing,
    /// What is different in an environment.
    pub(crate) overlays: Overlays,
    /// Changes of generated files, for what no key says. They are made in this order, for every environment, before
    /// anything judges the files.
    #[schemars(length(max = 100))]
    pub(crate) patches: Vec<FilePatch>,
}

/// A change of a generated file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilePatch {
    /// The file: a target and the path below its folder, e.g. `compose/compose.yaml`. An object of Kubernetes is named
    /// without its number, e.g. `kubernetes/deployment.yaml`, and is changed in what Kustomize and Helm get, too.
    #[schemars(length(max = 255), regex(pattern = "^[a-z]+(/[A-Za-z0-9_.-]+)+$"))]
    pub(crate) file: String,
    /// What is done to it, in order.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) operations: Vec<Operation>,
}

/// An operation of a JSON Patch (RFC 6902).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operation {
    /// What is done.
    pub(crate) op: Op,
    /// Where: a JSON Pointer (RFC 6901), e.g. `/spec/template/spec/priorityClassName`. `-` is the place behind a list's
    /// last entry.
    #[schemars(length(max = 1024), regex(pattern = "^(/[^/]*)*$"))]
    pub(crate) path: String,
    /// Where from, for `move` and `copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^(/[^/]*)*$"))]
    pub(crate) from: Option<String>,
    /// The value, for `add`, `replace` and `test`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

/// A value that is there, be it `null`.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What is done to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Put a value there.
    Add,
    /// Take it away.
    Remove,
    /// Put another value there.
    Replace,
    /// Take a value from elsewhere.
    Move,
    /// Put there what is elsewhere.
    Copy,
    /// Refuse unless this value is there.
    Test,
}

impl Default for Deploy {
    fn default() -> Self {
        let mainstay_core::plan::Deploy { version, branch, .. } = mainstay_core::plan::Deploy::default();
        Self {
            image: None,
            version,
            repository: None,
            branch,
            language: None,
            services: Vec::new(),
            terraform: Terraform::default(),
            objective_percent: 99.9,
            base: Sizing::default(),
            overlays: Overlays::default(),
            patches: Vec::new(),
        }
    }
}

/// What Terraform modules are written for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Terraform {
    /// The platforms. One that is named here and cannot run the service is an error. Default: every platform that takes
    /// new customers and can run it.
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) platforms: Vec<String>,
}

/// What is different in an environment.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Overlays {
    /// For its developers.
    pub(crate) dev: Sizing,
    /// As in production, for those who try it.
    pub(crate) staging: Sizing,
    /// For its users.
    pub(crate) prod: Sizing,
}

/// What an environment gives each replica, and how many there are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sizing {
    /// Processor time of a replica, in cores (`1`, `0.5`) or thousandths of one (`250m`). Default: 250m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["250m", "1"]), regex(pattern = "^([1-9][0-9]{0,5}m|[0-9]{1,3}(\\.[0-9]{1,3})?)$"))]
    pub(crate) cpu: Option<String>,
    /// Whether `cpu` is also the most that a replica gets. Default: no, so that idle processors help with a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_limit: Option<bool>,
    /// Memory of a replica, asked for and the most that it gets. Default: 256MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "64MiB", "x-maximum" = "1TiB"))]
    pub(crate) memory: Option<Size>,
    /// The size of a volume for the data folder of each replica, e.g. `1GiB`. Without one, what a replica recorded of
    /// its runs goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "16MiB", "x-maximum" = "64TiB"))]
    pub(crate) storage: Option<Size>,
    /// How many replicas there are. Default: 1 in `dev`, 1 to 2 in `staging`, 2 to 10 in `prod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replicas: Option<Replicas>,
    /// What adds and removes replicas on Kubernetes: its own autoscaler (`hpa`), KEDA, or nothing (`fixed`). Default:
    /// `hpa`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scaler: Option<Scaler>,
    /// Requests in flight that a replica is meant for; beyond it, replicas are added. Default: 40.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) in_flight: Option<u32>,
    /// Processor use that a replica is meant for, in percent of `cpu`, where it is to count beside the requests in
    /// flight. An agent that waits for a model uses little.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) cpu_percent: Option<u32>,
    /// How fast replicas are added where their number follows the load. Default: as many as there are, or 4 where that
    /// is more, every 30s, at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale_up: Option<Pace>,
    /// How fast replicas are taken away. Default: half of them every 60s, once they were too many for 300s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale_down: Option<Pace>,
    /// The name under which callers reach it, e.g. `desk.example.com`. Without one there is no way in from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$")
    )]
    pub(crate) host: Option<String>,
    /// What leads callers there on Kubernetes: a route of the Gateway API, or an Ingress. Default: `gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Route>,
    /// Variables of the environment: text, or a reference to a secret (`env:NAME`). They add to those of `base`.
    #[schemars(extend("maxProperties" = 200, "propertyNames" = super::agent::variables()))]
    pub(crate) env: BTreeMap<String, String>,
}

/// How many replicas there are.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replicas {
    /// The fewest. 0 only where the platform can start one for a request.
    #[schemars(range(max = 10_000))]
    pub(crate) min: u32,
    /// The most.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max: u32,
}

/// How fast the number of replicas changes in one direction. What is not said stays as it is by default; `replicas` and
/// `percent` are said together.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pace {
    /// As many replicas at most, within `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) replicas: Option<u32>,
    /// Such a share of those that there are at most, within `every`. With `replicas`, the larger change holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) percent: Option<u32>,
    /// The time in which that many change, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "30m"))]
    pub(crate) every: Option<Time>,
    /// How long the need must last before anything changes, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1h"))]
    pub(crate) after: Option<Time>,
}

/// What an app is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    /// Python, with uv where there is a `uv.lock`, else with pip.
    Python,
    /// JavaScript or TypeScript on Node.js.
    Node,
    /// Rust, a program of its own.
    Rust,
}

/// What adds and removes replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scaler {
    /// The platform's own autoscaler.
    Hpa,
    /// KEDA.
    Keda,
    /// Nothing: the fewest replicas run.
    Fixed,
}

/// What leads callers to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Route {
    /// A route of the Gateway API.
    Gateway,
    /// An Ingress.
    Ingress,
}
