//! Azure Container Apps: an app in an environment of its own, with secrets of Key Vault and a share of traffic for a
//! newer revision.

mod beside;
mod revision;

use std::time::Duration;

use super::fit::{self, Unfit};
use super::module::{self, Module, Variable};
use super::{Ground, Platform, size};
use crate::hcl::{Body, Expr, raw};
use crate::label::slug;
use crate::workload::Workload;

pub(super) const PLATFORM: Platform = Platform {
    name: "azure-container-apps",
    title: "Azure Container Apps",
    closed: None,
    provider: ("azurerm", "hashicorp/azurerm", "4.55.0"),
    steps: ("az login\naz provider register --namespace Microsoft.App\n", "terraform output url\n"),
    make,
};

/// Most replicas of a revision.
const REPLICAS_MAX: u32 = 300;
/// Most requests that a replica can be meant for.
const IN_FLIGHT_MAX: u32 = 1_000;
/// How long a replica may have between the order to stop and its end.
const STOP_MAX: Duration = Duration::from_secs(600);
/// Seconds after which the way in ends an answer of which nothing is sent.
const IDLE: u64 = 240;
/// Characters of an app's name, less those of the environment.
const NAME_MAX: usize = 32 - "-staging".len();
/// Where an image's registry lets the app's own identity in.
const REGISTRY: &str = ".azurecr.io";

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    fit::keeps_nothing(ground)?;
    fit::no_secret_files(ground)?;
    fit::no_variables(ground, &["CONTAINER_APP_NAME", "CONTAINER_APP_REVISION", "CONTAINER_APP_HOSTNAME"])?;
    let workload = ground.workload();
    let mut variables = module::common(ground);
    variables.extend(sizes(ground)?);
    variables.extend(module::scaling(
        ground,
        REPLICAS_MAX,
        "Requests in flight that a replica is meant for; beyond it, replicas are added.",
        IN_FLIGHT_MAX,
    ));
    if by_cpu(ground) {
        variables.push(Variable::each(
            ground,
            "cpu_percent",
            "number",
            "Processor use that a replica is meant for, in percent; none, and it does not count.",
            |one| one.sizing.cpu_percent.map_or(raw("null"), Expr::from),
        ));
    }
    variables.push(module::public(ground));
    let mut settings =
        module::settings(ground, "the address of a secret in Key Vault, without its version", |key| {
            format!(
                "https://acme-agents.vault.azure.net/secrets/{}",
                slug(&format!("{}-{key}", workload.name), 100)
            )
        });
    if module::has_secrets(ground)
        && let Some(secrets) = settings.pop()
    {
        settings.push(secrets.must(
            "alltrue([for address in values(var.secrets) : can(regex(\"^https://[^/]+/secrets/[^/]+$\", address))])",
            "A secret is named by its address in Key Vault, without its version.",
        ));
    }
    variables.append(&mut settings);
    variables.extend(own(ground));
    let beside = beside::of(ground);
    variables.extend(beside.variables());
    let mut notes = notes(ground);
    notes.extend(beside.notes());
    Ok(Module { variables, main: beside.resources(main(ground, &beside)), outputs: outputs(), notes })
}

fn quarters(workload: &Workload) -> Option<u32> {
    size::container_apps(workload.sizing.cpu_milli, workload.sizing.memory_bytes)
}

fn by_cpu(ground: &Ground<'_>) -> bool {
    ground.workloads.iter().any(|one| one.sizing.cpu_percent.is_some())
}

fn sizes(ground: &Ground<'_>) -> Result<Vec<Variable>, Unfit> {
    if let Some(workload) = ground.workloads.iter().find(|one| quarters(one).is_none()) {
        return Err(Unfit::new(
            format!("a replica in {} is larger than 4 cores and 8 GiB", workload.environment),
            "give it less, or use a cluster",
        ));
    }
    let of = |one: &Workload| quarters(one).unwrap_or(1);
    Ok(vec![
        Variable::each(
            ground,
            "cpu",
            "number",
            "Processor time of a replica, in quarters of a core.",
            |one| raw(fit::number(of(one) * 250)),
        )
        .must(
            "var.cpu >= 0.25 && var.cpu <= 4 && floor(var.cpu * 4) == var.cpu * 4",
            "Cores come in quarters, 0.25 to 4.",
        ),
        Variable::each(ground, "memory", "string", "Memory of a replica: 2 GiB a core.", |one| {
            format!("{}Gi", fit::number(of(one) * 500))
        })
        .must("var.memory == \"${var.cpu * 2}Gi\"", "Memory is 2 GiB a core, e.g. 0.5Gi for a quarter."),
    ])
}

fn is_azure(ground: &Ground<'_>) -> bool {
    ground.workload().repository.split_once('/').is_some_and(|(host, _)| host.ends_with(REGISTRY))
}

/// The registry that asks who pulls, if the image is in one that is not Azure's.
fn host<'g>(ground: &'g Ground<'_>) -> Option<&'g str> {
    let (host, _) = ground.workload().repository.split_once('/')?;
    (host.contains(['.', ':']) && !host.ends_with(REGISTRY)).then_some(host)
}

/// Variables of this platform alone.
fn own(ground: &Ground<'_>) -> Vec<Variable> {
    let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/agents/providers";
    let mut variables = vec![
        Variable::account(
            "subscription",
            "string",
            "The subscription.",
            "00000000-0000-0000-0000-000000000000",
        ),
        Variable::account("resource_group", "string", "The resource group, which is there.", "agents"),
        Variable::account("location", "string", "The region.", "westeurope"),
        Variable::default(
            "subnet",
            "string",
            "A subnet for the environment, if it is to be in a network of yours.",
            raw("null"),
        ),
        Variable::default("log_days", "number", "Days that the log is kept.", 30u32)
            .must("var.log_days >= 30 && var.log_days <= 730", "The log is kept for 30 to 730 days."),
        Variable::default(
            "stable_revision",
            "string",
            "The suffix of the revision that keeps its share of requests while a newer one is tried; none, and the newest has \
             all.",
            raw("null"),
        ),
        Variable::default(
            "canary_percent",
            "number",
            "The share of the newest revision, in percent, where there is a stable one.",
            10u32,
        )
        .must("var.canary_percent >= 0 && var.canary_percent <= 100", "A share is 0 to 100 percent."),
    ];
    if module::has_secrets(ground) {
        variables.push(Variable::account(
            "key_vault",
            "string",
            "The id of the Key Vault that has the secrets; the app gets the right to read them.",
            format!("{group}/Microsoft.KeyVault/vaults/acme-agents"),
        ));
    }
    if is_azure(ground) {
        variables.push(Variable::account(
            "registry",
            "string",
            "The id of the registry that has the image; the app gets the right to pull.",
            format!("{group}/Microsoft.ContainerRegistry/registries/acme"),
        ));
    } else if let Some(host) = host(ground) {
        variables.push(Variable::default(
            "registry_username",
            "string",
            format!("Who pulls from {host}, if not everybody may."),
            raw("null"),
        ));
        variables.push(Variable::default(
            "registry_password",
            "string",
            "The address in Key Vault of that user's password.",
            raw("null"),
        ));
    }
    variables
}

fn main(ground: &Ground<'_>, beside: &beside::Beside) -> Body {
    let workload = ground.workload();
    let secrets = module::has_secrets(ground);
    let locals = Body::new()
        .set("name", raw(format!("\"{}-${{var.environment}}\"", slug(&workload.name, NAME_MAX))))
        .when(secrets, |body| {
            let name = "trim(lower(replace(key, \"/[^A-Za-z0-9]+/\", \"-\")), \"-\")";
            let keys = "distinct(var.secret_variables[*].key)";
            body.set("secret_names", raw(format!("{{ for key in {keys} : key => {name} }}")))
        });
    let log = placed().set("sku", "PerGB2018").set("retention_in_days", raw("var.log_days"));
    let environment = placed()
        .set("logs_destination", "log-analytics")
        .set("log_analytics_workspace_id", raw("azurerm_log_analytics_workspace.service.id"))
        .set("infrastructure_subnet_id", raw("var.subnet"))
        .set("internal_load_balancer_enabled", raw("var.subnet == null ? null : !var.public"))
        // What Dapr's components read their secrets as.
        .block("identity", identity())
        .block(
            "workload_profile",
            Body::new().set("name", "Consumption").set("workload_profile_type", "Consumption"),
        );
    Body::new()
        .labelled(
            "provider",
            &["azurerm"],
            Body::new().set("subscription_id", raw("var.subscription")).block("features", Body::new()),
        )
        .block("locals", locals)
        .resource("azurerm_log_analytics_workspace", "service", log)
        .resource("azurerm_user_assigned_identity", "service", placed())
        .when(secrets, |body| {
            body.resource(
                "azurerm_role_assignment",
                "secrets",
                right("var.key_vault", "Key Vault Secrets User"),
            )
        })
        .when(is_azure(ground), |body| {
            body.resource("azurerm_role_assignment", "images", right("var.registry", "AcrPull"))
        })
        .resource("azurerm_container_app_environment", "service", environment)
        .resource("azurerm_container_app", "service", app(ground, beside))
}

/// Where something is, and what it is called.
fn placed() -> Body {
    Body::new()
        .set("name", raw("local.name"))
        .set("resource_group_name", raw("var.resource_group"))
        .set("location", raw("var.location"))
}

fn right(scope: &str, role: &str) -> Body {
    Body::new()
        .set("scope", raw(scope))
        .set("role_definition_name", role)
        .set("principal_id", raw("azurerm_user_assigned_identity.service.principal_id"))
        .set("principal_type", "ServicePrincipal")
}

fn identity() -> Body {
    Body::new().set("type", "UserAssigned").set("identity_ids", raw(format!("[{IDENTITY}]")))
}

const IDENTITY: &str = "azurerm_user_assigned_identity.service.id";

fn app(ground: &Ground<'_>, beside: &beside::Beside) -> Body {
    let secrets = module::has_secrets(ground);
    let waited: Vec<Expr> =
        [(secrets, "azurerm_role_assignment.secrets"), (is_azure(ground), "azurerm_role_assignment.images")]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, what)| raw(what))
            .collect();
    let secret = Body::new()
        .set("name", raw("secret.value"))
        .set("key_vault_secret_id", raw("var.secrets[secret.key]"))
        .set("identity", raw(IDENTITY));
    let body = Body::new()
        .set("name", raw("local.name"))
        .set("resource_group_name", raw("var.resource_group"))
        .set("container_app_environment_id", raw("azurerm_container_app_environment.service.id"))
        .set("revision_mode", raw("var.stable_revision == null ? \"Single\" : \"Multiple\""))
        .set("workload_profile_name", "Consumption")
        .set("max_inactive_revisions", 10u32)
        .when(!waited.is_empty(), |body| body.set("depends_on", Expr::List(waited)))
        .block("identity", identity())
        .when(secrets, |body| body.dynamic("secret", "local.secret_names", secret));
    beside
        .on_app(pulling(body, ground))
        .block("ingress", revision::ingress())
        .block("template", revision::template(ground, beside))
        .block("lifecycle", module::guard())
}

/// How the image is pulled.
fn pulling(body: Body, ground: &Ground<'_>) -> Body {
    if is_azure(ground) {
        let own = Body::new().set("server", raw("split(\"/\", var.image)[0]")).set("identity", raw(IDENTITY));
        return body.block("registry", own);
    }
    if host(ground).is_none() {
        return body;
    }
    let password = Body::new()
        .set("name", "registry-password")
        .set("key_vault_secret_id", raw("secret.value"))
        .set("identity", raw(IDENTITY));
    let registry = Body::new()
        .set("server", raw("split(\"/\", var.image)[0]"))
        .set("username", raw("registry.value"))
        .set("password_secret_name", "registry-password");
    body.dynamic("secret", "var.registry_password[*]", password).dynamic(
        "registry",
        "var.registry_username[*]",
        registry,
    )
}

fn outputs() -> Vec<(&'static str, &'static str, Expr)> {
    vec![
        ("url", "Where the service is.", raw("\"https://${azurerm_container_app.service.ingress[0].fqdn}\"")),
        (
            "latest_revision",
            "The newest revision; what follows `--` in it is `stable_revision` of the next canary.",
            raw("azurerm_container_app.service.latest_revision_name"),
        ),
        ("identity", "Who the service is.", raw("azurerm_user_assigned_identity.service.principal_id")),
    ]
}

fn notes(ground: &Ground<'_>) -> Vec<String> {
    let workload = ground.workload();
    let mut notes = fit::notes(ground, false);
    notes.extend(fit::rounded(ground, |one| {
        quarters(one).map(|quarters| (quarters * 250, u64::from(quarters) * 512 * size::MIB))
    }));
    notes.extend(fit::shorter_stop(workload, STOP_MAX));
    notes.push(
        "a root file system that is read only, dropped capabilities and ways out by port cannot be had; the user is that of \
         the image (10001)."
            .to_owned(),
    );
    notes.push(format!(
        "an answer of which nothing is sent for {IDLE} s is ended on the way out: let callers stream."
    ));
    notes.push(
        "revisions get names of their own; before a canary, put the one that runs into `stable_revision`, and take it out \
         again to give the newest everything."
            .to_owned(),
    );
    if ground.workloads.iter().any(|one| one.sizing.in_flight > IN_FLIGHT_MAX) {
        notes.push(format!(
            "a replica is meant for {IN_FLIGHT_MAX} requests at most, where the spec says more."
        ));
    }
    if let Some(host) = workload.sizing.host.as_deref() {
        notes.push(format!("`{host}` is a custom domain that you bind to the app, with its certificate."));
    }
    notes
}
