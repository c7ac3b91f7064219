//! The work: runs, model calls, tokens and tools.

use mainstay_core::codes;
use mainstay_core::metric::{self, Metric};
use mainstay_core::run::RunStatus;

use super::alert::{Alert, Severity, Trial, bucket, series};
use crate::promql::{Scope, quoted, sum};
use crate::workload::Workload;

/// Failures in a window below which nobody is told: of few calls, one is a large share.
const FAILURES_MIN: u32 = 5;
/// The share of failures, in percent, that is too much.
const FAILURES_PERCENT: u32 = 10;
/// The share of answers that come from another provider than the first, in percent, that is worth knowing.
const ELSEWHERE_PERCENT: u32 = 20;
/// Seconds that one model call in twenty may take at most.
const MODEL_SECONDS: u64 = 60;
/// Tokens of an hour below which their growth says nothing.
const TOKENS_MIN: u32 = 100_000;
/// By how much an hour may be above the day's mean.
const TOKENS_TIMES: u32 = 3;
/// The name under which tokens are recorded.
pub(super) const TOKENS_RECORDED: &str = "job_namespace_model:mainstay_tokens:rate1h";

/// The alerts.
pub(super) fn alerts(scope: &Scope, workload: &Workload) -> Vec<Alert> {
    let mut alerts =
        vec![runs_fail(scope), model_fails(scope), model_slow(scope), tool_fails(scope), tokens(scope)];
    if !workload.fallovers.is_empty() {
        alerts.push(falls_over(scope, workload));
    }
    alerts
}

/// The query for tokens, each second of the last hour.
pub(super) fn token_rate(scope: &Scope) -> String {
    sum(&["model"], &scope.rate(&metric::TOKENS, "", "1h"))
}

/// Where too large a share of calls failed, and enough of them.
fn failing(scope: &Scope, metric: &Metric, by: &[&str], bad: &str, window: &str) -> String {
    let failed = sum(by, &scope.increase(metric, bad, window));
    let all = sum(by, &scope.increase(metric, "", window));
    format!("{failed} / {all} > 0.{FAILURES_PERCENT} and {failed} >= {FAILURES_MIN}")
}

/// Outcomes of a model call that are no failure of a provider.
pub(in crate::targets) fn no_failures() -> String {
    let fine = [
        metric::OUTCOME_OK,
        metric::OUTCOME_CLIENT_CLOSED,
        codes::PROVIDER_INVALID_REQUEST.id,
        codes::PROVIDER_CONTENT_FILTER.id,
    ];
    format!("outcome!~{}", quoted(&fine.join("|")))
}

fn runs_fail(scope: &Scope) -> Alert {
    let failed = RunStatus::Failed.as_str();
    let runs = |status: &str, samples: &str| series(&metric::RUNS, &["research", status], samples);
    let well = RunStatus::Completed.as_str();
    Alert {
        name: "MainstayRunsFail",
        severity: Severity::Critical,
        query: failing(scope, &metric::RUNS, &["agent"], &format!("status=\"{failed}\""), "15m"),
        minutes: 5,
        summary: "Runs of {{ $labels.agent }} fail",
        description: format!(
            "More than {FAILURES_PERCENT} % of the last 15 minutes' runs, streams among them."
        ),
        trial: Trial {
            after: 30,
            every: 1,
            of_service: true,
            labels: vec![("agent", "research".to_owned())],
            fires: vec![runs(well, "0+8x40"), runs(failed, "0+2x40")],
            // One of four, and too few to say anything.
            silent: vec![runs(well, "0+0.2x40"), runs(failed, "0+0.05x40")],
        },
    }
}

fn model_fails(scope: &Scope) -> Alert {
    let calls =
        |outcome: &str, samples: &str| series(&metric::MODEL_CALLS, &["fast", "openai", outcome], samples);
    let unavailable = codes::PROVIDER_UNAVAILABLE.id;
    Alert {
        name: "MainstayModelFails",
        severity: Severity::Warning,
        query: failing(scope, &metric::MODEL_CALLS, &["model", "provider"], &no_failures(), "10m"),
        minutes: 5,
        summary: "Provider {{ $labels.provider }} fails for model {{ $labels.model }}",
        description: format!("More than {FAILURES_PERCENT} % of the last 10 minutes' calls."),
        trial: Trial {
            after: 20,
            every: 1,
            of_service: true,
            labels: vec![("model", "fast".to_owned()), ("provider", "openai".to_owned())],
            fires: vec![calls(metric::OUTCOME_OK, "0+6x30"), calls(unavailable, "0+4x30")],
            silent: vec![
                calls(metric::OUTCOME_OK, "0+60x30"),
                calls(unavailable, "0+1x30"),
                calls(metric::OUTCOME_CLIENT_CLOSED, "0+60x30"),
                calls(codes::PROVIDER_INVALID_REQUEST.id, "0+60x30"),
            ],
        },
    }
}

fn model_slow(scope: &Scope) -> Alert {
    let took = |bound: &'static str, samples: &str| {
        bucket(&metric::MODEL_SECONDS, &["fast", "openai"], bound, samples)
    };
    let by = ["model", "provider"];
    Alert {
        name: "MainstayModelSlow",
        severity: Severity::Warning,
        query: format!("{} > {MODEL_SECONDS}", scope.quantile(95, &metric::MODEL_SECONDS, &by, "10m")),
        minutes: 10,
        summary: "Provider {{ $labels.provider }} is slow for model {{ $labels.model }}",
        description: format!("One call in twenty takes longer than {MODEL_SECONDS} s."),
        trial: Trial {
            after: 30,
            every: 1,
            of_service: true,
            labels: vec![("model", "fast".to_owned()), ("provider", "openai".to_owned())],
            fires: vec![took("60.0", "0+90x40"), took("120.0", "0+99x40"), took("+Inf", "0+100x40")],
            silent: vec![took("60.0", "0+99x40"), took("120.0", "0+100x40"), took("+Inf", "0+100x40")],
        },
    }
}

fn tool_fails(scope: &Scope) -> Alert {
    let calls = |outcome: &str, samples: &str| series(&metric::TOOL_CALLS, &["search", outcome], samples);
    let bad = format!("outcome!=\"{}\"", metric::OUTCOME_OK);
    Alert {
        name: "MainstayToolFails",
        severity: Severity::Warning,
        query: failing(scope, &metric::TOOL_CALLS, &["tool"], &bad, "15m"),
        minutes: 10,
        summary: "Tool {{ $labels.tool }} fails",
        description: format!("More than {FAILURES_PERCENT} % of the last 15 minutes' calls."),
        trial: Trial {
            after: 40,
            every: 1,
            of_service: true,
            labels: vec![("tool", "search".to_owned())],
            fires: vec![calls(metric::OUTCOME_OK, "0+6x50"), calls("error", "0+4x50")],
            silent: vec![calls(metric::OUTCOME_OK, "0+99x50"), calls("error", "0+1x50")],
        },
    }
}

/// The day's mean is that of what was recorded, so that a first hour is not compared with a night before there was
/// anything.
fn tokens(scope: &Scope) -> Alert {
    let rate = scope.named(TOKENS_RECORDED, "");
    let spent = |samples: &str| series(&metric::TOKENS, &["fast", "openai", "output"], samples);
    let hour = format!("{rate} * 3600 >= {TOKENS_MIN}");
    Alert {
        name: "MainstayTokensSurge",
        severity: Severity::Warning,
        query: format!("{rate} > {TOKENS_TIMES} * avg_over_time({rate}[1d]) and {hour}"),
        minutes: 10,
        summary: "Model {{ $labels.model }} uses far more tokens than usual",
        description: format!("More than {TOKENS_TIMES} times the day's mean within an hour."),
        trial: Trial {
            after: 180,
            every: 5,
            of_service: true,
            labels: vec![("model", "fast".to_owned())],
            fires: vec![spent("0+1000x23 23000+50000x14")],
            silent: vec![spent("0+50000x40")],
        },
    }
}

fn falls_over(scope: &Scope, workload: &Workload) -> Alert {
    let metric = &metric::MODEL_CALLS;
    let ok = format!("outcome=\"{}\"", metric::OUTCOME_OK);
    let of_model = |(model, first): &(String, String)| {
        let asked = format!("model={},{ok}", quoted(model));
        let elsewhere = format!("{asked},provider!={}", quoted(first));
        let elsewhere = sum(&["model"], &scope.increase(metric, &elsewhere, "15m"));
        let all = sum(&["model"], &scope.increase(metric, &asked, "15m"));
        format!("({elsewhere} / {all} > 0.{ELSEWHERE_PERCENT} and {elsewhere} >= {FAILURES_MIN})")
    };
    let each: Vec<String> = workload.fallovers.iter().map(of_model).collect();
    let (model, first) = workload.fallovers.first().cloned().unwrap_or_default();
    let other = format!("not-{first}");
    let answered = |at: &str, samples: &str| series(metric, &[&model, at, metric::OUTCOME_OK], samples);
    Alert {
        name: "MainstayModelFallsOver",
        severity: Severity::Warning,
        query: each.join(" or "),
        minutes: 10,
        summary: "Model {{ $labels.model }} is answered by another provider than its first",
        description: format!(
            "More than {ELSEWHERE_PERCENT} % of the last 15 minutes' answers; they may cost more."
        ),
        trial: Trial {
            after: 40,
            every: 1,
            of_service: true,
            labels: vec![("model", model.clone())],
            fires: vec![answered(&first, "0+1x50"), answered(&other, "0+9x50")],
            silent: vec![answered(&first, "0+90x50"), answered(&other, "0+9x50")],
        },
    }
}
