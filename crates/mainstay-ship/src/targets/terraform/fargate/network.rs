//! The load balancer, and who may speak to whom.

use super::{IDLE_MAX, STOP_MAX};
use crate::hcl::{Body, list, raw};
use crate::targets::terraform::module::Variable;
use crate::workload::{PORT, Workload};

/// Seconds that the load balancer waits for an answer's next piece at least: its own default.
const IDLE_MIN: u64 = 60;
/// Seconds between two questions, and how many in a row must fail.
const READY: (u32, u32, u32) = (10, 5, 10);

/// What only the account's owner knows.
pub(super) fn variables() -> Vec<Variable> {
    let subnets = |first: &str, second: &str| list([format!("subnet-0{first}"), format!("subnet-0{second}")]);
    vec![
        Variable::account("vpc", "string", "The network.", "vpc-0123456789abcdef0"),
        Variable::account(
            "public_subnets",
            "list(string)",
            "Subnets of the load balancer, in two zones at least; private ones where the service is not reached from outside.",
            subnets("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"),
        )
        .must("length(var.public_subnets) >= 2", "The load balancer needs subnets in two zones."),
        Variable::account(
            "private_subnets",
            "list(string)",
            "Subnets of the tasks, with a way out to the registry, the secrets and the models.",
            subnets("cccccccccccccccc", "dddddddddddddddd"),
        )
        .must("length(var.private_subnets) >= 1", "Tasks need a subnet."),
        Variable::account(
            "certificate",
            "string",
            "The ARN of the certificate of the service's name, in Certificate Manager.",
            "arn:aws:acm:eu-central-1:111122223333:certificate/00000000-0000-0000-0000-000000000000",
        )
        .must("can(regex(\"^arn:aws[a-z-]*:acm:\", var.certificate))", "A certificate is named by its ARN."),
        Variable::default("callers", "list(string)", "Networks that may call.", list(["0.0.0.0/0"])),
    ]
}

/// The load balancer with its listeners, and the security groups.
pub(super) fn resources(body: Body, workload: &Workload, name: &str) -> Body {
    let named = format!("\"{name}-${{var.environment}}\"");
    let ports: Vec<String> = workload.outward.iter().map(u16::to_string).collect();
    body.resource("aws_security_group", "balancer", group("balancer", "Who may call."))
        .resource(
            "aws_security_group",
            "tasks",
            group("tasks", "What tasks may reach, and who reaches them."),
        )
        .resource(
            "aws_vpc_security_group_ingress_rule",
            "callers",
            rule("balancer", "Callers.")
                .set(
                    "for_each",
                    raw("{ for one in setproduct(var.callers, [80, 443]) : \"${one[0]}-${one[1]}\" => one }"),
                )
                .set("cidr_ipv4", raw("each.value[0]"))
                .set("from_port", raw("each.value[1]"))
                .set("to_port", raw("each.value[1]")),
        )
        .resource(
            "aws_vpc_security_group_egress_rule",
            "balancer",
            between("balancer", "To the tasks.", "tasks"),
        )
        .resource(
            "aws_vpc_security_group_ingress_rule",
            "tasks",
            between("tasks", "From the load balancer.", "balancer"),
        )
        .note("The ports of the addresses that the spec names. Names are looked up by the network itself.")
        .resource(
            "aws_vpc_security_group_egress_rule",
            "tasks",
            rule("tasks", "What the service calls.")
                .set("for_each", raw(format!("toset([{}])", quoted(&ports))))
                .set("cidr_ipv4", "0.0.0.0/0")
                .set("from_port", raw("tonumber(each.key)"))
                .set("to_port", raw("tonumber(each.key)")),
        )
        .resource("aws_lb", "service", balancer(workload, &named))
        .resource("aws_lb_target_group", "service", target(workload, &named))
        .resource("aws_lb_listener", "https", https())
        .resource("aws_lb_listener", "http", http())
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn group(suffix: &str, about: &str) -> Body {
    Body::new()
        .set("name", raw(format!("\"${{local.name}}-{suffix}\"")))
        .set("description", about)
        .set("vpc_id", raw("var.vpc"))
}

fn rule(of: &str, about: &str) -> Body {
    Body::new()
        .set("security_group_id", raw(format!("aws_security_group.{of}.id")))
        .set("description", about)
        .set("ip_protocol", "tcp")
}

/// A rule for the port of the service, between the groups.
fn between(of: &str, about: &str, other: &str) -> Body {
    rule(of, about)
        .set("referenced_security_group_id", raw(format!("aws_security_group.{other}.id")))
        .set("from_port", PORT)
        .set("to_port", PORT)
}

fn balancer(workload: &Workload, name: &str) -> Body {
    Body::new()
        .set("name", raw(name))
        .set("load_balancer_type", "application")
        .set("internal", raw("!var.public"))
        .set("subnets", raw("var.public_subnets"))
        .set("security_groups", raw("[aws_security_group.balancer.id]"))
        .set("idle_timeout", (workload.request_timeout.as_secs() + 5).clamp(IDLE_MIN, IDLE_MAX))
        .set("drop_invalid_header_fields", true)
        .set("enable_deletion_protection", raw("var.environment == \"prod\""))
}

fn target(workload: &Workload, name: &str) -> Body {
    let (interval, timeout, failures) = READY;
    let health = Body::new()
        .set("path", "/ready")
        .set("matcher", "200")
        .set("interval", interval)
        .set("timeout", timeout)
        .set("healthy_threshold", 2u32)
        .set("unhealthy_threshold", failures);
    let sticky = Body::new().set("type", "lb_cookie").set("enabled", raw("var.replicas_max > 1"));
    Body::new()
        .set("name", raw(name))
        .set("target_type", "ip")
        .set("protocol", "HTTP")
        .set("port", PORT)
        .set("vpc_id", raw("var.vpc"))
        // Requests in flight end on the task that has them before it is told to stop.
        .set("deregistration_delay", workload.drain.max(STOP_MAX.min(workload.grace())).as_secs().min(3_600))
        .block("health_check", health)
        .block("stickiness", sticky)
}

fn https() -> Body {
    let forward =
        Body::new().set("type", "forward").set("target_group_arn", raw("aws_lb_target_group.service.arn"));
    Body::new()
        .set("load_balancer_arn", raw("aws_lb.service.arn"))
        .set("port", 443u16)
        .set("protocol", "HTTPS")
        .set("certificate_arn", raw("var.certificate"))
        .set("ssl_policy", "ELBSecurityPolicy-TLS13-1-2-2021-06")
        .block("default_action", forward)
}

fn http() -> Body {
    let redirect = Body::new().set("port", "443").set("protocol", "HTTPS").set("status_code", "HTTP_301");
    Body::new()
        .set("load_balancer_arn", raw("aws_lb.service.arn"))
        .set("port", 80u16)
        .set("protocol", "HTTP")
        .block("default_action", Body::new().set("type", "redirect").block("redirect", redirect))
}
