//! What the platforms of AWS share: roles, the log, sizes of tasks, and a measure of requests in flight.

use super::Ground;
use super::fit::Unfit;
use super::module::{self, Variable};
use super::size::{self, MIB};
use crate::hcl::{Body, Expr, object, raw};
use crate::label::slug;
use crate::workload::Workload;

/// The provider.
pub(super) const PROVIDER: (&str, &str, &str) = ("aws", "hashicorp/aws", "6.66.0");

/// Processor units and memory of a task in an environment.
pub(super) type Task = fn(u32, u64) -> Option<(u32, u64)>;

/// The least size of a task that gives a replica what it asks for.
fn given(workload: &Workload, task: Task) -> Option<(u32, u64)> {
    task(workload.sizing.cpu_milli, workload.sizing.memory_bytes)
}

/// The same, in thousandths of a core and bytes.
pub(super) fn rounded(workload: &Workload, task: Task) -> Option<(u32, u64)> {
    given(workload, task).map(|(units, mib)| (units * 1_000 / 1_024, mib * MIB))
}

/// Variables of a task's size. Errors: there is none so large.
pub(super) fn sizes(ground: &Ground<'_>, task: Task, largest: &str) -> Result<Vec<Variable>, Unfit> {
    if let Some(workload) = ground.workloads.iter().find(|one| given(one, task).is_none()) {
        return Err(Unfit::new(
            format!("a replica in {} is larger than {largest}", workload.environment),
            "give it less, or use a cluster",
        ));
    }
    let cpu = |one: &Workload| given(one, task).map_or(0, |(units, _)| units);
    let memory = |one: &Workload| given(one, task).map_or(0, |(_, mib)| mib);
    Ok(vec![
        Variable::each(ground, "cpu", "number", "Processor time of a task: 1024 units are a core.", cpu)
            .must(
                "contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)",
                "Processor units are a power of two from 256 on.",
            ),
        Variable::each(
            ground,
            "memory",
            "number",
            "Memory of a task, in MiB; which there are depends on `cpu`.",
            memory,
        )
        .must(
            "var.memory >= 512 && floor(var.memory) == var.memory",
            "Memory is a number of MiB, 512 at least.",
        ),
    ])
}

/// Variables that every platform of AWS has, beside the common ones.
pub(super) fn variables(ground: &Ground<'_>) -> Vec<Variable> {
    let workload = ground.workload();
    let name = &workload.name;
    let mut variables =
        module::settings(ground, "the ARN of a secret in Secrets Manager or of a parameter in SSM", |key| {
            format!(
                "arn:aws:secretsmanager:eu-central-1:111122223333:secret:{}",
                slug(&format!("{name}-{key}"), 100)
            )
        });
    if module::has_secrets(ground)
        && let Some(secrets) = variables.pop()
    {
        variables.push(secrets.must(
            "alltrue([for arn in values(var.secrets) : can(regex(\"^arn:aws[a-z-]*:(secretsmanager|ssm):\", arn))])",
            "A secret is named by its ARN.",
        ));
    }
    variables.push(Variable::account("region", "string", "The region.", "eu-central-1"));
    variables.push(
        Variable::default("log_days", "number", "Days that the log is kept.", 30u32)
            .must("var.log_days >= 1", "The log is kept for a day at least."),
    );
    variables
}

/// Who pulls the image where not everybody may.
pub(super) fn registry() -> Variable {
    Variable::default(
        "registry_credentials",
        "string",
        "The ARN of the secret with the registry's `username` and `password`, if not everybody may pull; ECR needs none.",
        raw("null"),
    )
}

/// How long a request takes: what makes requests a minute of requests in flight.
pub(super) fn request_seconds() -> Variable {
    Variable::default(
        "request_seconds",
        "number",
        "How long a request takes on average, in seconds: measure it. From it and `in_flight` follow the requests a minute \
         by which tasks are added.",
        10u32,
    )
    .must("var.request_seconds > 0", "A request takes some time.")
}

/// The provider's block.
pub(super) fn provider() -> Body {
    let tags = Body::new().set(
        "tags",
        Expr::Map(vec![
            ("Service".to_owned(), raw("local.name")),
            ("Environment".to_owned(), raw("var.environment")),
            ("ManagedBy".to_owned(), "mainstay".into()),
        ]),
    );
    Body::new().set("region", raw("var.region")).block("default_tags", tags)
}

/// The local values: the name, and the requests a minute where tasks follow them.
pub(super) fn locals(workload: &Workload, followed: bool, secrets: bool, registry: bool) -> Body {
    let parts: Vec<&str> = [(secrets, "values(var.secrets)"), (registry, "var.registry_credentials[*]")]
        .into_iter()
        .filter_map(|(has, part)| has.then_some(part))
        .collect();
    Body::new()
        .set("name", raw(format!("\"{}-${{var.environment}}\"", workload.name)))
        .when(followed, |body| {
            body.set("requests_per_minute", raw("max(1, floor(var.in_flight * 60 / var.request_seconds))"))
        })
        .when(!parts.is_empty(), |body| {
            // A reference may go on with the key in the secret; the right to read is for the whole.
            let whole = "join(\":\", slice(split(\":\", arn), 0, min(7, length(split(\":\", arn)))))";
            body.set(
                "readable",
                raw(format!("distinct([for arn in concat({}) : {whole}])", parts.join(", "))),
            )
        })
}

/// The log.
pub(super) fn log() -> Body {
    Body::new().set("name", raw("\"/mainstay/${local.name}\"")).set("retention_in_days", raw("var.log_days"))
}

/// The cluster, with what its containers use on record.
pub(super) fn cluster() -> Body {
    let containers = Body::new().set("name", "containerInsights").set("value", "enabled");
    Body::new().set("name", raw("local.name")).block("setting", containers)
}

/// A role that a service of AWS may take on.
pub(super) fn role(suffix: &str, about: &str, who: &str) -> Body {
    let statement = object([
        ("Effect", Expr::from("Allow")),
        ("Action", Expr::from("sts:AssumeRole")),
        ("Principal", object([("Service", who)])),
    ]);
    Body::new()
        .set("name", raw(format!("\"${{local.name}}-{suffix}\"")))
        .set("description", about)
        .set("assume_role_policy", policy(vec![statement]))
}

/// The right to read what `local.readable` names.
pub(super) fn reading(role: &str) -> Body {
    let statement = object([
        ("Effect", Expr::from("Allow")),
        ("Action", crate::hcl::list(["secretsmanager:GetSecretValue", "ssm:GetParameters"])),
        ("Resource", raw("local.readable")),
    ]);
    Body::new()
        .set("count", raw("length(local.readable) > 0 ? 1 : 0"))
        .set("name", "secrets")
        .set("role", raw(format!("aws_iam_role.{role}.id")))
        .set("policy", policy(vec![statement]))
}

fn policy(statements: Vec<Expr>) -> Expr {
    let document = object([("Version", Expr::from("2012-10-17")), ("Statement", Expr::List(statements))]);
    Expr::Call("jsonencode", Box::new(document))
}

/// A policy of AWS's own, on a role.
pub(super) fn attached(role: &str, policy: &str) -> Body {
    Body::new()
        .set("role", raw(format!("aws_iam_role.{role}.name")))
        .set("policy_arn", format!("arn:aws:iam::aws:policy/service-role/{policy}"))
}

/// The role that starts tasks, with the right to read their secrets, and the role that they have.
pub(super) fn roles(body: Body, readable: bool) -> Body {
    const TASKS: &str = "ecs-tasks.amazonaws.com";
    body.resource(
        "aws_iam_role",
        "execution",
        role("execution", "Starts tasks: pulls, logs and reads their secrets.", TASKS),
    )
    .resource(
        "aws_iam_role_policy_attachment",
        "execution",
        attached("execution", "AmazonECSTaskExecutionRolePolicy"),
    )
    .when(readable, |body| body.resource("aws_iam_role_policy", "secrets", reading("execution")))
    .note("What a task is. It may do nothing: give it what the service's tools need, and no more.")
    .resource("aws_iam_role", "task", role("task", "The service itself.", TASKS))
}

/// What every platform of AWS says.
pub(super) fn notes(ground: &Ground<'_>, task: Task) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(super::fit::rounded(ground, |one| rounded(one, task)));
    notes
}

/// Tasks are added by requests a minute.
pub(super) const FOLLOWED: &str = "requests in flight cannot be followed; requests a minute are, reckoned from `in_flight` and \
                                   `request_seconds`, so measure how long a request takes and set it.";

/// Sizes that ECS on Fargate has.
pub(super) fn fargate(cpu_milli: u32, bytes: u64) -> Option<(u32, u64)> {
    size::fargate(cpu_milli, bytes)
}

/// Sizes that Express Mode has: those of Fargate up to 4 cores and 8 GiB.
pub(super) fn express(cpu_milli: u32, bytes: u64) -> Option<(u32, u64)> {
    size::fargate(cpu_milli, bytes).filter(|(units, mib)| *units <= 4_096 && *mib <= 8_192)
}
