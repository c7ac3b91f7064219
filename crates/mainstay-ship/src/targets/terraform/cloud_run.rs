//! Google Cloud Run: a service with its own account, a share of traffic for a newer revision, and secrets of Secret
//! Manager.

use std::time::Duration;

use super::fit::{self, Unfit};
use super::module::{self, LIVENESS, Module, STARTUP_PERIOD, Variable};
use super::{Ground, Platform, size};
use crate::hcl::{Body, Expr, object, quoted, raw};
use crate::label::slug;
use crate::workload::{PORT, Workload};

pub(super) const PLATFORM: Platform = Platform {
    name: "gcp-cloud-run",
    title: "Google Cloud Run",
    closed: None,
    provider: ("google", "hashicorp/google", "6.50.0"),
    steps: (
        "gcloud services enable run.googleapis.com secretmanager.googleapis.com artifactregistry.googleapis.com\n\
         gcloud auth application-default login\n",
        "terraform output url\n",
    ),
    make,
};

/// Longest answer, seconds.
const TIMEOUT_MAX: u64 = 3_600;
/// Longest start that its probe waits for, seconds.
const START_MAX: u64 = 240;
/// Most requests at once of an instance.
const IN_FLIGHT_MAX: u32 = 1_000;
/// Most instances that a new project may have in a region.
const REPLICAS_MAX: u32 = 1_000;
/// How long an instance has between the order to stop and its end.
const STOP: Duration = Duration::from_secs(10);
/// Characters of an account's name, less those of the environment and of what stands before it.
const ACCOUNT_MAX: usize = 30 - "run-".len() - "-staging".len();

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    fit::keeps_nothing(ground)?;
    fit::folders(ground)?;
    fit::no_variables(ground, &["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"])?;
    let workload = ground.workload();
    if workload.request_timeout.as_secs() > TIMEOUT_MAX {
        return Err(Unfit::new(
            format!(
                "`server.request_timeout` is {} s, and it ends every answer after {TIMEOUT_MAX}",
                workload.request_timeout.as_secs()
            ),
            "let it be an hour at most",
        ));
    }
    let mut variables = module::common(ground);
    variables.extend(sizes(ground)?);
    variables.extend(module::scaling(
        ground,
        REPLICAS_MAX,
        "Requests in flight that an instance takes at most; before it has so many, another one is started.",
        IN_FLIGHT_MAX,
    ));
    variables.push(module::public(ground));
    let mut settings =
        module::settings(ground, "the name of a secret in Secret Manager, with its project", |key| {
            format!("projects/acme-agents/secrets/{}", slug(&format!("{}-{key}", workload.name), 100))
        });
    if module::has_secrets(ground)
        && let Some(secrets) = settings.pop()
    {
        settings.push(secrets.must(
            "alltrue([for name in values(var.secrets) : can(regex(\"^projects/[^/]+/secrets/[^/]+$\", name))])",
            "A secret is named as `projects/PROJECT/secrets/NAME`.",
        ));
    }
    variables.append(&mut settings);
    variables.extend(own(mirrored(workload)));
    Ok(Module { variables, main: main(ground), outputs: outputs(), notes: notes(ground) })
}

fn given(workload: &Workload) -> Option<(u32, u64)> {
    size::cloud_run(workload.sizing.cpu_milli, workload.sizing.memory_bytes)
}

fn sizes(ground: &Ground<'_>) -> Result<Vec<Variable>, Unfit> {
    if let Some(workload) = ground.workloads.iter().find(|workload| given(workload).is_none()) {
        return Err(Unfit::new(
            format!("a replica in {} is larger than 8 cores and 32 GiB", workload.environment),
            "give it less, or use a cluster",
        ));
    }
    let cpu = |one: &Workload| given(one).map_or(1, |(cores, _)| cores).to_string();
    let memory = |one: &Workload| format!("{}Mi", given(one).map_or(0, |(_, mib)| mib));
    Ok(vec![
        Variable::each(ground, "cpu", "string", "Processor time of an instance, in whole cores.", cpu).must(
            "contains([\"1\", \"2\", \"4\", \"6\", \"8\"], var.cpu)",
            "An instance has 1, 2, 4, 6 or 8 cores: with less than one it would take one request at a time.",
        ),
        Variable::each(ground, "memory", "string", "Memory of an instance, with its unit.", memory)
            .must("can(regex(\"^[0-9]+Mi$\", var.memory))", "Memory is a number of MiB, e.g. 512Mi."),
    ])
}

/// Variables of this platform alone.
fn own(mirror: Option<&str>) -> Vec<Variable> {
    let mut variables = vec![
        Variable::account("project", "string", "The project.", "acme-agents"),
        Variable::account("region", "string", "The region.", "europe-west1"),
        Variable::default(
            "invokers",
            "list(string)",
            "Who may call where the service is not reached from outside, e.g. `serviceAccount:…`.",
            Expr::List(Vec::new()),
        ),
        Variable::default(
            "stable_revision",
            "string",
            "The revision that keeps its share of requests while a newer one is tried; none, and the newest has all.",
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
    if let Some(host) = mirror {
        variables.push(Variable::default(
            "registry_username",
            "string",
            format!("Who pulls from {host}, if not everybody may."),
            raw("null"),
        ));
        variables.push(Variable::default(
            "registry_password_version",
            "string",
            "The version of the secret in Secret Manager that holds that user's password \
             (`projects/…/secrets/…/versions/…`), which the agent of Artifact Registry must be allowed to read.",
            raw("null"),
        ));
    }
    variables
}

/// The registry that images come from through a mirror, since Cloud Run does not pull from it.
fn mirrored(workload: &Workload) -> Option<&str> {
    let (host, _) = workload.repository.split_once('/')?;
    let own =
        host == "docker.io" || host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev");
    (host.contains(['.', ':']) && !own).then_some(host)
}

fn main(ground: &Ground<'_>) -> Body {
    let workload = ground.workload();
    let mirror = mirrored(workload);
    let locals = Body::new()
        .set("name", raw(format!("\"{}-${{var.environment}}\"", workload.name)))
        .set("image", match mirror {
            Some(host) => raw(format!(
                "replace(var.image, {}, \"${{var.region}}-docker.pkg.dev/${{var.project}}/${{google_artifact_registry_repository.mirror.repository_id}}/\")",
                quoted(&format!("{host}/"))
            )),
            None => raw("var.image"),
        });
    let account = Body::new()
        .set("account_id", raw(format!("\"run-{}-${{var.environment}}\"", slug(&workload.name, ACCOUNT_MAX))))
        .set("display_name", raw("local.name"))
        .set("description", "The service, which may read its secrets and nothing else.");
    let mut body = Body::new()
        .labelled(
            "provider",
            &["google"],
            Body::new().set("project", raw("var.project")).set("region", raw("var.region")),
        )
        .block("locals", locals)
        .resource("google_service_account", "service", account);
    if module::has_secrets(ground) {
        let keys = if fit::files(ground).is_empty() {
            "toset(var.secret_variables[*].key)"
        } else {
            "toset(concat(var.secret_variables[*].key, var.secret_files[*].key))"
        };
        body = body.resource(
            "google_secret_manager_secret_iam_member",
            "service",
            Body::new()
                .set("for_each", raw(keys))
                .set("secret_id", raw("var.secrets[each.key]"))
                .set("role", "roles/secretmanager.secretAccessor")
                .set("member", raw("google_service_account.service.member")),
        );
    }
    if let Some(host) = mirror {
        body = body
            .note(&format!("Cloud Run does not pull from {host}: this does, and keeps what it pulled."))
            .resource("google_artifact_registry_repository", "mirror", registry(host));
    }
    body.resource("google_cloud_run_v2_service", "service", service(ground)).resource(
        "google_cloud_run_v2_service_iam_member",
        "invoker",
        Body::new()
            .set("for_each", raw("toset(var.public ? [\"allUsers\"] : var.invokers)"))
            .set("name", raw("google_cloud_run_v2_service.service.name"))
            .set("location", raw("google_cloud_run_v2_service.service.location"))
            .set("role", "roles/run.invoker")
            .set("member", raw("each.key")),
    )
}

fn registry(host: &str) -> Body {
    let credentials = Body::new()
        .set("username", raw("upstream_credentials.value"))
        .set("password_secret_version", raw("var.registry_password_version"));
    let upstream = Body::new().block("custom_repository", Body::new().set("uri", format!("https://{host}")));
    Body::new()
        .set("location", raw("var.region"))
        .set("repository_id", raw("\"${local.name}-images\""))
        .set("description", format!("Images of {host}"))
        .set("format", "DOCKER")
        .set("mode", "REMOTE_REPOSITORY")
        .block(
            "remote_repository_config",
            Body::new().block("docker_repository", upstream).dynamic(
                "upstream_credentials",
                "var.registry_username[*]",
                Body::new().block("username_password_credentials", credentials),
            ),
        )
}

fn service(ground: &Ground<'_>) -> Body {
    let latest = Body::new()
        .set("type", "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST")
        .set("percent", raw("var.stable_revision == null ? 100 : var.canary_percent"))
        .set("tag", raw("var.stable_revision == null ? \"stable\" : \"canary\""));
    let stable = Body::new()
        .set("type", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION")
        .set("revision", raw("traffic.value"))
        .set("percent", raw("100 - var.canary_percent"))
        .set("tag", "stable");
    Body::new()
        .set("name", raw("local.name"))
        .set("location", raw("var.region"))
        .set("ingress", raw("var.public ? \"INGRESS_TRAFFIC_ALL\" : \"INGRESS_TRAFFIC_INTERNAL_ONLY\""))
        .set("deletion_protection", raw("var.environment == \"prod\""))
        .set(
            "labels",
            Expr::Map(vec![
                ("environment".to_owned(), raw("var.environment")),
                ("managed-by".to_owned(), "mainstay".into()),
            ]),
        )
        .when(module::has_secrets(ground), |body| {
            body.set("depends_on", raw("[google_secret_manager_secret_iam_member.service]"))
        })
        .block("template", template(ground))
        .block("traffic", latest)
        .dynamic("traffic", "var.stable_revision[*]", stable)
        .block("lifecycle", module::guard())
}

fn template(ground: &Ground<'_>) -> Body {
    let files = !fit::files(ground).is_empty();
    let secret = Body::new()
        .set("secret", raw("var.secrets[volumes.value.key]"))
        .set("default_mode", 0o444u32)
        .block("items", Body::new().set("path", raw("volumes.value.file")).set("version", "latest"));
    Body::new()
        .set("service_account", raw("google_service_account.service.email"))
        .set("execution_environment", "EXECUTION_ENVIRONMENT_GEN2")
        .set("timeout", format!("{TIMEOUT_MAX}s"))
        .set("max_instance_request_concurrency", raw("var.in_flight"))
        .set("session_affinity", true)
        .block(
            "scaling",
            Body::new()
                .set("min_instance_count", raw("var.replicas_min"))
                .set("max_instance_count", raw("var.replicas_max")),
        )
        .block("containers", container(ground))
        .when(files, |body| {
            body.dynamic(
                "volumes",
                "var.secret_files",
                Body::new().set("name", raw("\"secret-${volumes.key}\"")).block("secret", secret),
            )
        })
}

fn container(ground: &Ground<'_>) -> Body {
    let workload = ground.workload();
    let start = workload.start.as_secs().min(START_MAX);
    let reference = Body::new().set("secret", raw("var.secrets[env.value.key]")).set("version", "latest");
    let source = Body::new().block("secret_key_ref", reference);
    Body::new()
        .set("name", "agent")
        .set("image", raw("local.image"))
        .block("ports", Body::new().set("name", "http1").set("container_port", PORT))
        .block(
            "resources",
            Body::new()
                .set("limits", object([("cpu", raw("var.cpu")), ("memory", raw("var.memory"))]))
                .set("cpu_idle", false)
                .set("startup_cpu_boost", true),
        )
        .dynamic(
            "env",
            "var.variables",
            Body::new().set("name", raw("env.key")).set("value", raw("env.value")),
        )
        .when(module::has_secrets(ground), |body| {
            body.dynamic(
                "env",
                "var.secret_variables",
                Body::new().set("name", raw("env.value.variable")).block("value_source", source),
            )
        })
        .block("startup_probe", probe("/ready", (STARTUP_PERIOD, 3, start.div_ceil(STARTUP_PERIOD))))
        .block("liveness_probe", probe("/health", LIVENESS))
        .when(!fit::files(ground).is_empty(), |body| {
            let mount = Body::new()
                .set("name", raw("\"secret-${volume_mounts.key}\""))
                .set("mount_path", raw("volume_mounts.value.folder"));
            body.dynamic("volume_mounts", "var.secret_files", mount)
        })
}

fn probe(path: &str, (period, timeout, failures): (u64, u64, u64)) -> Body {
    Body::new()
        .set("period_seconds", period)
        .set("timeout_seconds", timeout)
        .set("failure_threshold", failures)
        .block("http_get", Body::new().set("path", path).set("port", PORT))
}

fn outputs() -> Vec<(&'static str, &'static str, Expr)> {
    let of = |attribute: &str| raw(format!("google_cloud_run_v2_service.service.{attribute}"));
    vec![
        ("url", "Where the service is.", of("uri")),
        ("name", "Its name.", of("name")),
        (
            "latest_revision",
            "The newest revision that is ready: `stable_revision` of the next canary.",
            of("latest_ready_revision"),
        ),
        ("service_account", "Who the service is.", raw("google_service_account.service.email")),
    ]
}

fn notes(ground: &Ground<'_>) -> Vec<String> {
    let workload = ground.workload();
    let mut notes = fit::notes(ground, true);
    notes.extend(fit::rounded(ground, |one| given(one).map(|(cores, mib)| (cores * 1_000, mib * size::MIB))));
    notes.extend(fit::shorter_stop(workload, STOP));
    notes.push(
        "nothing asks for readiness once an instance runs: the probe of its start asks `/ready`, so that a revision that \
         cannot reach what it needs takes no requests."
            .to_owned(),
    );
    notes.push(
        "a root file system that is read only, and ways out by port, cannot be had; the user is that of the image (10001), \
         and what is written is memory and goes with the instance."
            .to_owned(),
    );
    notes.push(format!("a stream ends after {TIMEOUT_MAX} s."));
    if workload.start.as_secs() > START_MAX {
        notes.push(format!("a start that takes longer than {START_MAX} s is a failure."));
    }
    if ground.workloads.iter().any(|one| one.sizing.in_flight > IN_FLIGHT_MAX) {
        notes.push(format!("an instance takes {IN_FLIGHT_MAX} requests at once, where the spec says more."));
    }
    if ground.workloads.iter().any(|one| one.sizing.cpu_percent.is_some()) {
        notes.push("how much processor use adds an instance cannot be set: it is 60 %.".to_owned());
    }
    if let Some(host) = workload.sizing.host.as_deref() {
        notes.push(format!("`{host}` is led to `url` by a load balancer or a domain mapping of yours."));
    }
    if let Some(host) = mirrored(workload) {
        notes.push(format!(
            "images of {host} are pulled through a mirror in Artifact Registry; where not everybody may pull, set \
             `registry_username` and `registry_password_version`."
        ));
    }
    notes
}
