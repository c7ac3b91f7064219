//! AWS App Runner, for those who have it: it takes no new customers.

use super::fit::{self, Unfit};
use super::module::{self, Module, Variable};
use super::{Ground, Platform, aws, size};
use crate::hcl::{Body, Expr, raw};
use crate::label::slug;
use crate::workload::{PORT, Workload};

pub(super) const PLATFORM: Platform = Platform {
    name: "aws-app-runner",
    title: "AWS App Runner",
    closed: Some(
        "App Runner takes no new customers since 2026-04-30; its successor is ECS Express Mode (`aws-ecs-express`).",
    ),
    provider: aws::PROVIDER,
    steps: ("aws sts get-caller-identity   # whose account it goes to\n", "terraform output url\n"),
    make,
};

/// Most instances of a service.
const REPLICAS_MAX: u32 = 25;
/// Most requests at once of an instance.
const IN_FLIGHT_MAX: u32 = 200;
/// Seconds after which every answer ends.
const TIMEOUT: u64 = 120;

fn make(ground: &Ground<'_>) -> Result<Module, Unfit> {
    fit::keeps_nothing(ground)?;
    fit::no_secret_files(ground)?;
    fit::no_variables(ground, &["PORT"])?;
    let workload = ground.workload();
    let registry = registry(workload).ok_or_else(|| {
        Unfit::new(
            format!("it pulls from ECR alone, and the image is `{}`", workload.repository),
            "push the image to ECR and name it in `deploy.image`",
        )
    })?;
    if workload.request_timeout.as_secs() > TIMEOUT {
        return Err(Unfit::new(
            format!(
                "`server.request_timeout` is {} s, and every answer ends after {TIMEOUT}",
                workload.request_timeout.as_secs()
            ),
            "use `aws-ecs-express`, or let it be two minutes at most",
        ));
    }
    if ground.workloads.iter().any(|one| one.sizing.replicas_min == 0) {
        return Err(Unfit::new("a service has an instance at least", "let `replicas.min` be 1 or more"));
    }
    let mut variables = module::common(ground);
    variables.extend(aws::sizes(ground, size::app_runner, "4 cores and 12 GiB")?);
    let in_flight = "Requests in flight that an instance takes; beyond it, there is another one.";
    variables.extend(module::scaling(ground, REPLICAS_MAX, in_flight, IN_FLIGHT_MAX));
    variables.push(module::public(ground));
    variables.extend(aws::variables(ground));
    // The log is the platform's own.
    variables.pop();
    variables.push(Variable::default(
        "access_role",
        "string",
        "The ARN of the role with which images are pulled from a private registry; one is made without.",
        raw("null"),
    ));
    Ok(Module { variables, main: main(ground, registry), outputs: outputs(), notes: notes(ground) })
}

/// What App Runner calls the registry of the image, if it pulls from there.
fn registry(workload: &Workload) -> Option<&'static str> {
    let (host, _) = workload.repository.split_once('/')?;
    let private = host.contains(".dkr.ecr.") && host.contains(".amazonaws.com");
    match host {
        "public.ecr.aws" => Some("ECR_PUBLIC"),
        _ if private => Some("ECR"),
        _ => None,
    }
}

/// A name for the environment, of at most so many characters.
fn name(ground: &Ground<'_>, most: usize) -> Expr {
    raw(format!("\"{}-${{var.environment}}\"", slug(&ground.workload().name, most - "-staging".len())))
}

fn main(ground: &Ground<'_>, registry: &str) -> Body {
    let secrets = module::has_secrets(ground);
    let scaling = Body::new()
        .set("auto_scaling_configuration_name", name(ground, 32))
        .set("min_size", raw("var.replicas_min"))
        .set("max_size", raw("var.replicas_max"))
        .set("max_concurrency", raw("var.in_flight"));
    let access = aws::role("access", "Pulls the image.", "build.apprunner.amazonaws.com")
        .set("count", raw("var.access_role == null ? 1 : 0"));
    let attached = Body::new()
        .set("count", raw("var.access_role == null ? 1 : 0"))
        .set("role", raw("aws_iam_role.access[0].name"))
        .set("policy_arn", "arn:aws:iam::aws:policy/service-role/AWSAppRunnerServicePolicyForECRAccess");
    Body::new()
        .labelled("provider", &["aws"], aws::provider())
        .block("locals", aws::locals(ground.workload(), false, secrets, false))
        .resource("aws_iam_role", "access", access)
        .resource("aws_iam_role_policy_attachment", "access", attached)
        .note(
            "What an instance is. It reads its secrets: give it what the service's tools need, and no more.",
        )
        .resource(
            "aws_iam_role",
            "instance",
            aws::role("instance", "The service itself.", "tasks.apprunner.amazonaws.com"),
        )
        .when(secrets, |body| body.resource("aws_iam_role_policy", "secrets", aws::reading("instance")))
        .resource("aws_apprunner_auto_scaling_configuration_version", "service", scaling)
        .resource("aws_apprunner_service", "service", service(ground, registry))
}

fn service(ground: &Ground<'_>, registry: &str) -> Body {
    let secrets = module::has_secrets(ground);
    let configuration = Body::new()
        .set("port", PORT.to_string())
        .set("runtime_environment_variables", raw("var.variables"))
        .when(secrets, |body| {
            let each = "{ for one in var.secret_variables : one.variable => var.secrets[one.key] }";
            body.set("runtime_environment_secrets", raw(each))
        });
    let image = Body::new()
        .set("image_identifier", raw("var.image"))
        .set("image_repository_type", registry)
        .block("image_configuration", configuration);
    let pulling = Body::new().set(
        "access_role_arn",
        raw("var.access_role == null ? aws_iam_role.access[0].arn : var.access_role"),
    );
    let source = Body::new()
        .set("auto_deployments_enabled", false)
        .when(registry == "ECR", |body| body.block("authentication_configuration", pulling))
        .block("image_repository", image);
    let health = Body::new()
        .set("protocol", "HTTP")
        .set("path", "/ready")
        .set("interval", 10u32)
        .set("timeout", 5u32)
        .set("healthy_threshold", 1u32)
        .set("unhealthy_threshold", 5u32);
    let instance = Body::new()
        .set("cpu", raw("tostring(var.cpu)"))
        .set("memory", raw("tostring(var.memory)"))
        .set("instance_role_arn", raw("aws_iam_role.instance.arn"));
    let ingress = Body::new().set("is_publicly_accessible", raw("var.public"));
    Body::new()
        .set("service_name", name(ground, 40))
        .set(
            "auto_scaling_configuration_arn",
            raw("aws_apprunner_auto_scaling_configuration_version.service.arn"),
        )
        .when(secrets, |body| body.set("depends_on", raw("[aws_iam_role_policy.secrets]")))
        .block("source_configuration", source)
        .block("instance_configuration", instance)
        .block("health_check_configuration", health)
        .block("network_configuration", Body::new().block("ingress_configuration", ingress))
        .block("lifecycle", module::guard())
}

fn outputs() -> Vec<(&'static str, &'static str, Expr)> {
    vec![
        ("url", "Where the service is.", raw("\"https://${aws_apprunner_service.service.service_url}\"")),
        ("instance_role", "What an instance is.", raw("aws_iam_role.instance.name")),
    ]
}

fn notes(ground: &Ground<'_>) -> Vec<String> {
    let mut notes = vec![PLATFORM.closed.unwrap_or_default().to_owned()];
    notes.extend(fit::notes(ground, false));
    notes.extend(aws::notes(ground, size::app_runner));
    notes.push(format!("every answer ends after {TIMEOUT} s, streams too."));
    notes.push(
        "`/ready` is asked, and an instance that is not ready is replaced; a time to drain, a root file system that is read \
         only, dropped capabilities and ways out by port cannot be had."
            .to_owned(),
    );
    if ground.workloads.iter().any(|one| one.sizing.in_flight > IN_FLIGHT_MAX) {
        notes.push(format!("an instance takes {IN_FLIGHT_MAX} requests at once, where the spec says more."));
    }
    if ground.workloads.iter().any(|one| one.sizing.replicas_max > REPLICAS_MAX) {
        notes.push(format!("there are {REPLICAS_MAX} instances at most, where the spec says more."));
    }
    notes
}
