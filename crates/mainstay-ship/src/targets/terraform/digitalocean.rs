//! Kubernetes on DigitalOcean: a cluster that is large enough, to which the files of the target `kubernetes` are
//! applied.

use mainstay_core::plan::Environment;

use super::fit::{self, Unfit};
use super::module::{self, Module, Variable};
use super::{Ground, Platform, size};
use crate::hcl::{Body, Expr, raw};
use crate::label::slug;
use crate::targets::kubernetes;
use crate::workload::Workload;

pub(super) const PLATFORM: Platform = Platform {
    name: "digitalocean-kubernetes",
    title: "Kubernetes on DigitalOcean",
    closed: None,
    provider: ("digitalocean", "digitalocean/digitalocean", "2.71.0"),
    steps: (
        "export DIGITALOCEAN_TOKEN=…   # never in a file\n",
        "doctl kubernetes cluster kubeconfig save \"$(terraform output -raw cluster_id)\"\n\
         mainstay ship kubernetes --env prod   # at the spec: its README says how to apply it\n",
    ),
    make,
};

/// Machines beside those that replicas need: a new version's replicas come before the old ones go.
const SPARE: u32 = 1;
/// Most machines of a pool.
const MACHINES_MAX: u32 = 100;
/// Characters of a registry's name, less those of the environment.
const REGISTRY_MAX: usize = 63 - "-staging".len();

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    for workload in &ground.workloads {
        if let Err(error) = kubernetes::objects(workload) {
            return Err(Unfit::new(
                format!("the target `kubernetes` refuses the service: {}", error.message()),
                error.help().unwrap_or("see there").to_owned(),
            ));
        }
        if machine(workload).is_none() {
            return Err(Unfit::new(
                format!("a replica in {} fits on no machine that is known here", workload.environment),
                "give it less, or make a pool of larger machines yourself",
            ));
        }
    }
    Ok(Module {
        variables: variables(ground),
        main: main(ground),
        outputs: outputs(ground),
        notes: notes(ground),
    })
}

/// The machine for a replica, and how many such replicas it holds.
fn machine(workload: &Workload) -> Option<(&'static str, u32)> {
    size::machine(workload.sizing.cpu_milli, workload.sizing.memory_bytes)
}

/// The fewest machines and the most: two at least where there are several replicas, so that one may go.
fn machines(workload: &Workload) -> (u32, u32) {
    let held = machine(workload).map_or(1, |(_, held)| held);
    let (least, most) = fit::replicas(workload);
    let floor = if least > 1 { 2 } else { 1 };
    let fewest = least.div_ceil(held).max(floor);
    (fewest, (most.div_ceil(held) + SPARE).max(fewest).min(MACHINES_MAX))
}

fn variables(ground: &Ground<'_>) -> Vec<Variable> {
    let mut variables = module::common(ground);
    // The image is the manifests' own.
    variables.truncate(1);
    variables.extend([
        Variable::each(
            ground,
            "machine",
            "string",
            "The size of the machines, as DigitalOcean calls it.",
            |one| machine(one).map_or("s-2vcpu-4gb", |(name, _)| name),
        ),
        Variable::each(ground, "machines_min", "number", "The fewest machines.", |one| machines(one).0)
            .must("var.machines_min >= 1", "A cluster has a machine at least."),
        Variable::each(ground, "machines_max", "number", "The most machines.", |one| machines(one).1)
            .must("var.machines_max >= var.machines_min", "The most machines are at least the fewest."),
        Variable::each(
            ground,
            "highly_available",
            "bool",
            "Whether the control plane has replicas; it cannot be taken back.",
            |one| one.environment == Environment::Prod,
        ),
        Variable::account("region", "string", "The region.", "fra1"),
        Variable::default(
            "kubernetes_version",
            "string",
            "The beginning of the cluster's version; patches come by themselves in the maintenance window.",
            "1.34.",
        )
        .must(
            "can(regex(\"^1\\\\.[0-9]+\\\\.$\", var.kubernetes_version))",
            "A version begins like `1.34.`, with the point.",
        ),
        Variable::default(
            "callers",
            "list(string)",
            "Networks that may reach the API server, e.g. that of the pipeline; every one, if there is none.",
            Expr::List(Vec::new()),
        ),
        Variable::default(
            "registry",
            "string",
            "The plan of a registry for the images, e.g. `basic`, if one is to be made; an account has one.",
            raw("null"),
        ),
    ]);
    variables
}

fn main(ground: &Ground<'_>) -> Body {
    let name = &ground.workload().name;
    let versions = Body::new().set("version_prefix", raw("var.kubernetes_version"));
    let network = Body::new().set("name", raw("local.name")).set("region", raw("var.region"));
    let registry = Body::new()
        .set("for_each", raw("toset(var.registry[*])"))
        .set("name", raw(format!("\"{}-${{var.environment}}\"", slug(name, REGISTRY_MAX))))
        .set("subscription_tier_slug", raw("each.key"))
        .set("region", raw("var.region"));
    Body::new()
        .note("The token is that of the variable DIGITALOCEAN_TOKEN.")
        .labelled("provider", &["digitalocean"], Body::new())
        .block("locals", Body::new().set("name", raw(format!("\"{name}-${{var.environment}}\""))))
        .labelled("data", &["digitalocean_kubernetes_versions", "wanted"], versions)
        .resource("digitalocean_vpc", "service", network)
        .resource("digitalocean_container_registry", "service", registry)
        .resource("digitalocean_kubernetes_cluster", "service", cluster())
}

fn cluster() -> Body {
    let pool = Body::new()
        .set("name", "agents")
        .set("size", raw("var.machine"))
        .set("auto_scale", true)
        .set("min_nodes", raw("var.machines_min"))
        .set("max_nodes", raw("var.machines_max"));
    let firewall = Body::new().set("enabled", true).set("allowed_addresses", raw("var.callers"));
    Body::new()
        .set("name", raw("local.name"))
        .set("region", raw("var.region"))
        .set("version", raw("data.digitalocean_kubernetes_versions.wanted.latest_version"))
        .set("vpc_uuid", raw("digitalocean_vpc.service.id"))
        .set("ha", raw("var.highly_available"))
        .set("auto_upgrade", true)
        .set("surge_upgrade", true)
        .set("registry_integration", raw("var.registry != null"))
        .note("Volumes hold what the service recorded: they outlive the cluster.")
        .set("destroy_all_associated_resources", false)
        .set("depends_on", raw("[digitalocean_container_registry.service]"))
        .block("node_pool", pool)
        .block("maintenance_policy", Body::new().set("day", "sunday").set("start_time", "04:00"))
        .dynamic("control_plane_firewall", "length(var.callers) > 0 ? [true] : []", firewall)
        .block(
            "lifecycle",
            // The newest patch is taken by the cluster itself; reading of it must not plan a change.
            Body::new().set("ignore_changes", raw("[version]")).and(module::guard()),
        )
}

fn outputs(ground: &Ground<'_>) -> Vec<(&'static str, &'static str, Expr)> {
    let of = |attribute: &str| raw(format!("digitalocean_kubernetes_cluster.service.{attribute}"));
    vec![
        ("cluster_id", "The cluster, for `doctl kubernetes cluster kubeconfig save`.", of("id")),
        ("endpoint", "Its API server.", of("endpoint")),
        ("version", "The version that it began with.", of("version")),
        (
            "namespace",
            "The namespace that the files of the target `kubernetes` make and use.",
            raw(format!("\"{}-${{var.environment}}\"", ground.workload().name)),
        ),
        (
            "registry",
            "Where images are pushed to, if a registry was made.",
            raw("[for one in digitalocean_container_registry.service : one.endpoint]"),
        ),
    ]
}

fn notes(ground: &Ground<'_>) -> Vec<String> {
    let workload = ground.workload();
    let mut notes = vec![
        "it is the cluster alone: the namespace, the service, its scaler and its bounds are the files of the target \
         `kubernetes` (or `kustomize`, `helm`), which are applied to it."
            .to_owned(),
        "machines are reckoned from this service's replicas: what else runs there needs room of its own.".to_owned(),
        "metrics-server, a Gateway's controller, Prometheus and its adapter are yours to install, where the files of \
         `kubernetes` name them."
            .to_owned(),
    ];
    if workload.sizing.storage_bytes.is_some() {
        notes.push(
            "volumes are block storage of its zone, one for each replica; they and their data stay when the cluster is \
             destroyed, and cost until you delete them."
                .to_owned(),
        );
    }
    notes
}
