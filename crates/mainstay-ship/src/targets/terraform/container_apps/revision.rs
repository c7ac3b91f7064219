//! A revision of the app: its container, its replicas, and its share of what comes in.

use super::beside::Beside;
use super::{STOP_MAX, by_cpu};
use crate::hcl::{Body, Expr, raw};
use crate::targets::kubernetes::scaling::{COOLDOWN_SECONDS, POLLING_SECONDS};
use crate::targets::terraform::Ground;
use crate::targets::terraform::module::{self, LIVENESS, READINESS};
use crate::workload::{DATA, PORT};

/// Failures in a row that a probe can wait for.
const FAILURES_MAX: u64 = 10;

/// The way in, and the revisions' shares of it.
pub(super) fn ingress() -> Body {
    let latest = Body::new()
        .set("latest_revision", true)
        .set("percentage", raw("var.stable_revision == null ? 100 : var.canary_percent"))
        .set("label", raw("var.stable_revision == null ? null : \"canary\""));
    let stable = Body::new()
        .set("revision_suffix", raw("traffic_weight.value"))
        .set("percentage", raw("100 - var.canary_percent"))
        .set("label", "stable");
    Body::new()
        .set("external_enabled", raw("var.public"))
        .set("allow_insecure_connections", false)
        .set("target_port", PORT)
        .set("transport", "auto")
        .block("traffic_weight", latest)
        .dynamic("traffic_weight", "var.stable_revision[*]", stable)
}

/// What a revision is.
pub(super) fn template(ground: &Ground<'_>, beside: &Beside) -> Body {
    let workload = ground.workload();
    let volume = |name: &str| Body::new().set("name", name).set("storage_type", "EmptyDir");
    let in_flight =
        Body::new().set("name", "in-flight").set("concurrent_requests", raw("tostring(var.in_flight)"));
    let cpu = Body::new().set("name", "cpu").set("custom_rule_type", "cpu").set(
        "metadata",
        Expr::Map(vec![
            ("type".to_owned(), "Utilization".into()),
            ("value".to_owned(), raw("tostring(custom_scale_rule.value)")),
        ]),
    );
    Body::new()
        .set("min_replicas", raw("var.replicas_min"))
        .set("max_replicas", raw("var.replicas_max"))
        .set("polling_interval_in_seconds", POLLING_SECONDS)
        .set("cooldown_period_in_seconds", COOLDOWN_SECONDS)
        .set("termination_grace_period_seconds", workload.grace().min(STOP_MAX).as_secs())
        .block("volume", volume("data"))
        .block("volume", volume("tmp"))
        .block("container", container(ground, beside))
        .block("http_scale_rule", in_flight)
        .when(by_cpu(ground), |body| body.dynamic("custom_scale_rule", "var.cpu_percent[*]", cpu))
}

fn container(ground: &Ground<'_>, beside: &Beside) -> Body {
    let workload = ground.workload();
    let mount = |name: &str, path: &str| Body::new().set("name", name).set("path", path);
    let secret = Body::new()
        .set("name", raw("env.value.variable"))
        .set("secret_name", raw("local.secret_names[env.value.key]"));
    let period = workload.start.as_secs().div_ceil(FAILURES_MAX).clamp(1, 240);
    Body::new()
        .set("name", "agent")
        .set("image", raw("var.image"))
        .set("cpu", raw("var.cpu"))
        .set("memory", raw("var.memory"))
        .dynamic(
            "env",
            beside.plain(),
            Body::new().set("name", raw("env.key")).set("value", raw("env.value")),
        )
        .when(module::has_secrets(ground), |body| body.dynamic("env", "var.secret_variables", secret))
        .block("volume_mounts", mount("data", DATA))
        .block("volume_mounts", mount("tmp", "/tmp"))
        .block("startup_probe", probe("/health", (period, 3, FAILURES_MAX)))
        .block("liveness_probe", probe("/health", LIVENESS))
        .block("readiness_probe", probe("/ready", READINESS))
}

fn probe(path: &str, (period, timeout, failures): (u64, u64, u64)) -> Body {
    Body::new()
        .set("transport", "HTTP")
        .set("path", path)
        .set("port", PORT)
        .set("interval_seconds", period)
        .set("timeout", timeout)
        .set("failure_count_threshold", failures)
}
