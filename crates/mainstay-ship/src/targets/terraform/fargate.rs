//! Amazon ECS on Fargate: a service behind a load balancer of its own, in a network that is there.

mod network;
mod scaling;

use std::time::Duration;

use super::fit::{self, Unfit};
use super::module::{self, Module, STARTUP_PERIOD, Variable};
use super::{Ground, Platform, aws};
use crate::hcl::{Body, Expr, list, object, raw};
use crate::label::slug;
use crate::workload::{PORT, USER, Workload};

pub(super) const PLATFORM: Platform = Platform {
    name: "aws-fargate",
    title: "Amazon ECS on Fargate",
    closed: None,
    provider: aws::PROVIDER,
    steps: ("aws sts get-caller-identity   # whose account it goes to\n", "terraform output load_balancer\n"),
    make,
};

/// Most tasks of a service.
const REPLICAS_MAX: u32 = 1_000;
/// How long a task may have between the order to stop and its end.
const STOP_MAX: Duration = Duration::from_secs(120);
/// Longest silence of an answer that a load balancer may be told to wait for, seconds.
const IDLE_MAX: u64 = 4_000;
/// Characters of a load balancer's name, less those of the environment.
const BALANCER_MAX: usize = 32 - "-staging".len();

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    fit::keeps_nothing(ground)?;
    fit::no_secret_files(ground)?;
    let workload = ground.workload();
    if workload.request_timeout.as_secs() > IDLE_MAX {
        return Err(Unfit::new(
            format!(
                "`server.request_timeout` is {} s, and the load balancer ends an answer of which nothing is sent for {IDLE_MAX}",
                workload.request_timeout.as_secs()
            ),
            "let it be an hour at most",
        ));
    }
    let mut variables = module::common(ground);
    variables.extend(aws::sizes(ground, aws::fargate, "16 cores and 120 GiB")?);
    variables.extend(module::scaling(
        ground,
        REPLICAS_MAX,
        "Requests in flight that a task is meant for.",
        100_000,
    ));
    variables.push(aws::request_seconds());
    if scaling::by_cpu(ground) {
        variables.push(Variable::each(
            ground,
            "cpu_percent",
            "number",
            "Processor use that a task is meant for, in percent; none, and it does not count.",
            |one| one.sizing.cpu_percent.map_or(raw("null"), Expr::from),
        ));
    }
    variables.push(module::public(ground));
    variables.extend(aws::variables(ground));
    variables.push(aws::registry());
    variables.extend(network::variables());
    Ok(Module { variables, main: main(ground), outputs: outputs(), notes: notes(ground) })
}

fn main(ground: &Ground<'_>) -> Body {
    let workload = ground.workload();
    let locals = aws::locals(workload, true, module::has_secrets(ground), true);
    let body = Body::new().labelled("provider", &["aws"], aws::provider()).block("locals", locals).resource(
        "aws_cloudwatch_log_group",
        "service",
        aws::log(),
    );
    let body = aws::roles(body, true);
    let body = network::resources(body, workload, &slug(&workload.name, BALANCER_MAX));
    let body = body
        .resource("aws_ecs_cluster", "service", aws::cluster())
        .resource("aws_ecs_task_definition", "service", task(ground))
        .resource("aws_ecs_service", "service", service(workload));
    scaling::resources(body, ground)
}

fn task(ground: &Ground<'_>) -> Body {
    Body::new()
        .set("family", raw("local.name"))
        .set("requires_compatibilities", list(["FARGATE"]))
        .set("network_mode", "awsvpc")
        .set("cpu", raw("var.cpu"))
        .set("memory", raw("var.memory"))
        .set("execution_role_arn", raw("aws_iam_role.execution.arn"))
        .set("task_role_arn", raw("aws_iam_role.task.arn"))
        .set("container_definitions", Expr::Call("jsonencode", Box::new(Expr::List(vec![container(ground)]))))
        .block(
            "runtime_platform",
            Body::new().set("operating_system_family", "LINUX").set("cpu_architecture", "X86_64"),
        )
}

fn container(ground: &Ground<'_>) -> Expr {
    let workload = ground.workload();
    let ports = object([("containerPort", Expr::from(PORT)), ("protocol", Expr::from("tcp"))]);
    let command = list(["CMD", "/usr/local/bin/mainstay", "healthcheck", "--live"]);
    let health = object([
        ("command", command),
        ("interval", Expr::from(10u32)),
        ("timeout", Expr::from(5u32)),
        ("retries", Expr::from(3u32)),
        // ECS counts failures only after it, and it is 300 s at most.
        ("startPeriod", Expr::from(workload.start.as_secs().min(300))),
    ]);
    let log = object([
        ("logDriver", Expr::from("awslogs")),
        (
            "options",
            Expr::Map(vec![
                ("awslogs-group".to_owned(), raw("aws_cloudwatch_log_group.service.name")),
                ("awslogs-region".to_owned(), raw("var.region")),
                ("awslogs-stream-prefix".to_owned(), "agent".into()),
            ]),
        ),
    ]);
    let nothing = object([("drop", list(["ALL"]))]);
    let mut entries = vec![
        ("name", Expr::from("agent")),
        ("image", raw("var.image")),
        ("essential", true.into()),
        ("user", format!("{USER}:{USER}").into()),
        ("linuxParameters", object([("capabilities", nothing)])),
        ("portMappings", Expr::List(vec![ports])),
        ("environment", raw("[for name, value in var.variables : { name = name, value = value }]")),
    ];
    if module::has_secrets(ground) {
        let each =
            "[for one in var.secret_variables : { name = one.variable, valueFrom = var.secrets[one.key] }]";
        entries.push(("secrets", raw(each)));
    }
    entries.extend([
        (
            "repositoryCredentials",
            raw("var.registry_credentials == null ? null : { credentialsParameter = var.registry_credentials }"),
        ),
        ("stopTimeout", workload.grace().min(STOP_MAX).as_secs().into()),
        ("healthCheck", health),
        ("logConfiguration", log),
    ]);
    object(entries)
}

fn service(workload: &Workload) -> Body {
    let network = Body::new()
        .set("subnets", raw("var.private_subnets"))
        .set("security_groups", raw("[aws_security_group.tasks.id]"))
        .set("assign_public_ip", false);
    let balancer = Body::new()
        .set("target_group_arn", raw("aws_lb_target_group.service.arn"))
        .set("container_name", "agent")
        .set("container_port", PORT);
    Body::new()
        .set("name", raw("local.name"))
        .set("cluster", raw("aws_ecs_cluster.service.arn"))
        .set("task_definition", raw("aws_ecs_task_definition.service.arn"))
        .set("desired_count", raw("var.replicas_min"))
        .set("launch_type", "FARGATE")
        .set("platform_version", "1.4.0")
        .set("availability_zone_rebalancing", "ENABLED")
        .set("deployment_minimum_healthy_percent", 100u32)
        .set("deployment_maximum_percent", 200u32)
        .set("health_check_grace_period_seconds", workload.start.as_secs() + STARTUP_PERIOD)
        .set("propagate_tags", "SERVICE")
        .set("enable_execute_command", false)
        .set("wait_for_steady_state", true)
        .set(
            "depends_on",
            Expr::List(vec![
                raw("aws_iam_role_policy.secrets"),
                raw("aws_iam_role_policy_attachment.execution"),
                raw("aws_lb_listener.https"),
            ]),
        )
        .block("deployment_circuit_breaker", Body::new().set("enable", true).set("rollback", true))
        .block("network_configuration", network)
        .block("load_balancer", balancer)
        .block(
            "lifecycle",
            // The scaler owns the number of tasks.
            Body::new().set("ignore_changes", raw("[desired_count]")).and(module::guard()),
        )
}

fn outputs() -> Vec<(&'static str, &'static str, Expr)> {
    vec![
        ("load_balancer", "The name that the service's own is an alias of.", raw("aws_lb.service.dns_name")),
        ("load_balancer_zone", "The zone of that name.", raw("aws_lb.service.zone_id")),
        ("cluster", "The cluster.", raw("aws_ecs_cluster.service.name")),
        ("service", "The service.", raw("aws_ecs_service.service.name")),
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
    let mut notes = fit::notes(ground, true);
    notes.extend(aws::notes(ground, aws::fargate));
    notes.push(aws::FOLLOWED.to_owned());
    notes.extend(fit::shorter_stop(workload, STOP_MAX));
    notes.push(
        "a task that is not ready for 100 s is taken out and replaced, so what it needs must not be away for longer; the \
         process alone is asked inside the container."
            .to_owned(),
    );
    notes.push(
        "the root file system can be written, since a task has no folder for a user that is not root otherwise; what is \
         written goes with the task."
            .to_owned(),
    );
    notes.push(
        "a new version replaces tasks one by one and is taken back where they fail; a share of requests for it is what \
         `aws-ecs-express` has."
            .to_owned(),
    );
    if ground.workloads.iter().any(|one| one.sizing.replicas_min == 0) {
        notes.push(
            "a service without tasks starts none for a request: the first one waits until there is a task."
                .to_owned(),
        );
    }
    if let Some(host) = workload.sizing.host.as_deref() {
        notes.push(format!("`{host}` is a record of yours, an alias of the output `load_balancer`."));
    }
    notes
}
