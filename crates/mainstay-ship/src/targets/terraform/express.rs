//! Amazon ECS Express Mode: the load balancer, its certificate, the scaler and canary deployments are the platform's.

use std::time::Duration;

use super::fit::{self, Unfit};
use super::module::{self, Module, Variable};
use super::{Ground, Platform, aws};
use crate::hcl::{Body, Expr, list, raw};
use crate::workload::PORT;

pub(super) const PLATFORM: Platform = Platform {
    name: "aws-ecs-express",
    title: "Amazon ECS Express Mode",
    closed: None,
    provider: aws::PROVIDER,
    steps: ("aws sts get-caller-identity   # whose account it goes to\n", "terraform output service_arn\n"),
    make,
};

/// Most tasks of a service.
const REPLICAS_MAX: u32 = 1_000;
/// How long a task has between the order to stop and its end.
const STOP: Duration = Duration::from_secs(30);
/// Seconds of silence after which the load balancer ends an answer.
const IDLE: u64 = 60;

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    fit::keeps_nothing(ground)?;
    fit::no_secret_files(ground)?;
    let mut variables = module::common(ground);
    variables.extend(aws::sizes(ground, aws::express, "4 cores and 8 GiB")?);
    variables.extend(module::scaling(
        ground,
        REPLICAS_MAX,
        "Requests in flight that a task is meant for.",
        100_000,
    ));
    variables.push(aws::request_seconds());
    variables.extend(aws::variables(ground));
    variables.push(aws::registry());
    variables.push(
        Variable::account(
            "subnets",
            "list(string)",
            "Subnets in two zones at least: public ones make a service that is reached from outside, private ones one that is \
             not.",
            list(["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"]),
        )
        .must("length(var.subnets) >= 2", "The load balancer needs subnets in two zones."),
    );
    variables.push(Variable::default(
        "security_groups",
        "list(string)",
        "Security groups of the tasks; the platform makes one without.",
        Expr::List(Vec::new()),
    ));
    Ok(Module { variables, main: main(ground), outputs: outputs(), notes: notes(ground) })
}

fn main(ground: &Ground<'_>) -> Body {
    let locals = aws::locals(ground.workload(), true, module::has_secrets(ground), true);
    let body = Body::new().labelled("provider", &["aws"], aws::provider()).block("locals", locals).resource(
        "aws_cloudwatch_log_group",
        "service",
        aws::log(),
    );
    aws::roles(body, true)
        .resource(
            "aws_iam_role",
            "infrastructure",
            aws::role("infrastructure", "Makes the load balancer and the scaler.", "ecs.amazonaws.com"),
        )
        .resource(
            "aws_iam_role_policy_attachment",
            "infrastructure",
            aws::attached("infrastructure", "AmazonECSInfrastructureRoleforExpressGatewayServices"),
        )
        .resource("aws_ecs_cluster", "service", aws::cluster())
        .resource("aws_ecs_express_gateway_service", "service", service(ground))
}

fn service(ground: &Ground<'_>) -> Body {
    let network = Body::new()
        .set("subnets", raw("var.subnets"))
        .set("security_groups", raw("length(var.security_groups) > 0 ? var.security_groups : null"));
    let target = Body::new()
        .set("auto_scaling_metric", "REQUEST_COUNT_PER_TARGET")
        .set("auto_scaling_target_value", raw("local.requests_per_minute"))
        .set("min_task_count", raw("var.replicas_min"))
        .set("max_task_count", raw("var.replicas_max"));
    Body::new()
        .set("service_name", raw("local.name"))
        .set("cluster", raw("aws_ecs_cluster.service.name"))
        .set("cpu", raw("tostring(var.cpu)"))
        .set("memory", raw("tostring(var.memory)"))
        .set("execution_role_arn", raw("aws_iam_role.execution.arn"))
        .set("infrastructure_role_arn", raw("aws_iam_role.infrastructure.arn"))
        .set("task_role_arn", raw("aws_iam_role.task.arn"))
        .set("health_check_path", "/ready")
        .set("wait_for_steady_state", true)
        .set(
            "depends_on",
            Expr::List(vec![
                raw("aws_iam_role_policy.secrets"),
                raw("aws_iam_role_policy_attachment.execution"),
                raw("aws_iam_role_policy_attachment.infrastructure"),
            ]),
        )
        .block("network_configuration", network)
        .block("primary_container", container(ground))
        .block("scaling_target", target)
        .block("lifecycle", module::guard())
}

fn container(ground: &Ground<'_>) -> Body {
    Body::new()
        .set("image", raw("var.image"))
        .set("container_port", PORT)
        .block(
            "aws_logs_configuration",
            Body::new()
                .set("log_group", raw("aws_cloudwatch_log_group.service.name"))
                .set("log_stream_prefix", "agent"),
        )
        .dynamic(
            "repository_credentials",
            "var.registry_credentials[*]",
            Body::new().set("credentials_parameter", raw("repository_credentials.value")),
        )
        .dynamic(
            "environment",
            "var.variables",
            Body::new().set("name", raw("environment.key")).set("value", raw("environment.value")),
        )
        .when(module::has_secrets(ground), |body| {
            body.dynamic(
                "secret",
                "var.secret_variables",
                Body::new()
                    .set("name", raw("secret.value.variable"))
                    .set("value_from", raw("var.secrets[secret.value.key]")),
            )
        })
}

fn outputs() -> Vec<(&'static str, &'static str, Expr)> {
    let of = |attribute: &str| raw(format!("aws_ecs_express_gateway_service.service.{attribute}"));
    vec![
        ("service_arn", "The service.", of("service_arn")),
        ("ingress_paths", "Where it is reached.", of("ingress_paths")),
        (
            "task_role",
            "What a task is: give it the rights that the service's tools need.",
            raw("aws_iam_role.task.name"),
        ),
        ("log_group", "Its log.", raw("aws_cloudwatch_log_group.service.name")),
    ]
}

fn notes(ground: &Ground<'_>) -> Vec<String> {
    let workload = ground.workload();
    let mut notes = fit::notes(ground, false);
    notes.extend(aws::notes(ground, aws::express));
    notes.push(aws::FOLLOWED.to_owned());
    notes.extend(fit::shorter_stop(workload, STOP));
    notes.push(
        "the load balancer asks `/ready`, and a task that is not ready for long is replaced; nothing asks `/health`.".to_owned(),
    );
    notes.push(
        "a root file system that is read only, dropped capabilities and ways out by port cannot be had; the user is that of \
         the image (10001)."
            .to_owned(),
    );
    notes.push(
        "a new version gets 5 % of requests for some minutes, and goes if too many of them fail: that is the platform's own."
            .to_owned(),
    );
    if workload.request_timeout.as_secs() > IDLE {
        notes.push(format!(
            "an answer of which nothing is sent for {IDLE} s is ended by the load balancer, where the spec waits {} s: let \
             callers stream.",
            workload.request_timeout.as_secs()
        ));
    }
    if ground.workloads.iter().any(|one| one.sizing.replicas_min == 0) {
        notes.push(
            "a service without tasks starts none for a request: the first one waits until there is a task."
                .to_owned(),
        );
    }
    if ground.workloads.iter().any(|one| one.sizing.cpu_percent.is_some()) {
        notes.push("one measure adds tasks; processor use does not count beside requests.".to_owned());
    }
    if workload.sizing.host.is_some() {
        notes.push(
            "the name of the service is AWS's; your `host` needs a certificate and a rule of yours."
                .to_owned(),
        );
    }
    notes
}
