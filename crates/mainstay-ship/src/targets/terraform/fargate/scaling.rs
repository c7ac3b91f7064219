//! What adds and removes tasks.

use crate::hcl::{Body, raw};
use crate::targets::terraform::Ground;

/// Whether processor use counts in any environment.
pub(super) fn by_cpu(ground: &Ground<'_>) -> bool {
    ground.workloads.iter().any(|one| one.sizing.cpu_percent.is_some())
}

/// Up quickly, down slowly: a task that goes takes its sessions along.
const COOLDOWN: (u32, u32) = (30, 300);

/// The scaler.
pub(super) fn resources(body: Body, ground: &Ground<'_>) -> Body {
    let target = scaled(
        Body::new().set("min_capacity", raw("var.replicas_min")).set("max_capacity", raw("var.replicas_max")),
        "\"service/${aws_ecs_cluster.service.name}/${aws_ecs_service.service.name}\"",
        "\"ecs:service:DesiredCount\"",
        "\"ecs\"",
    );
    let requests = Body::new().set("predefined_metric_type", "ALBRequestCountPerTarget").set(
        "resource_label",
        raw("\"${aws_lb.service.arn_suffix}/${aws_lb_target_group.service.arn_suffix}\""),
    );
    let cpu = Body::new().set("predefined_metric_type", "ECSServiceAverageCPUUtilization");
    body.resource("aws_appautoscaling_target", "service", target)
        .resource(
            "aws_appautoscaling_policy",
            "requests",
            policy(
                Body::new().set("name", raw("\"${local.name}-requests\"")),
                "local.requests_per_minute",
                requests,
            ),
        )
        .when(by_cpu(ground), |body| {
            let named = Body::new()
                .set("count", raw("var.cpu_percent == null ? 0 : 1"))
                .set("name", raw("\"${local.name}-cpu\""));
            body.resource("aws_appautoscaling_policy", "cpu", policy(named, "var.cpu_percent", cpu))
        })
}

fn scaled(body: Body, resource: &str, dimension: &str, namespace: &str) -> Body {
    body.set("resource_id", raw(resource))
        .set("scalable_dimension", raw(dimension))
        .set("service_namespace", raw(namespace))
}

fn policy(body: Body, value: &str, metric: Body) -> Body {
    let (out, back) = COOLDOWN;
    let of = |attribute: &str| format!("aws_appautoscaling_target.service.{attribute}");
    let tracked = Body::new()
        .set("target_value", raw(value))
        .set("scale_out_cooldown", out)
        .set("scale_in_cooldown", back)
        .block("predefined_metric_specification", metric);
    scaled(
        body.set("policy_type", "TargetTrackingScaling"),
        &of("resource_id"),
        &of("scalable_dimension"),
        &of("service_namespace"),
    )
    .block("target_tracking_scaling_policy_configuration", tracked)
}
