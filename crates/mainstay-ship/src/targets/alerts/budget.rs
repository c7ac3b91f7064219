//! What may fail of all requests, and how fast that is used up.
//!
//! The objective is one over 30 days. A share of failures is a *burn*: 1 uses up what is allowed in just 30 days, 14.4
//! a fiftieth of it in an hour. A long window says that it matters, a short one beside it that it is still so: the
//! alert ends soon after the failures do.

use mainstay_core::metric;

use super::alert::{Alert, Series, Severity, Trial, series};
use crate::promql::{SERVICE, Scope, sum};
use crate::workload::Workload;

/// What is no work: probes, documents about the API and the metrics. `/ready` is 503 by design.
const NO_WORK: &str = "route!~\"/health.*|/ready|/metrics|/docs.*|/openapi.*\"";
/// Statuses that are failures of the service.
const FAILED: &str = "code=~\"5..\"";
/// Failures in the long window below which nobody is called: of few requests, one is a large share.
const FAILURES_MIN: u32 = 10;

/// A share of failures, in parts of a million, that an objective must stay under for a burn to be told: a share of all
/// is reached by no more than all.
const SHARE_MAX: u32 = 800_000;

/// A pair of windows, and the burn that is too fast in both.
struct Burn {
    name: &'static str,
    severity: Severity,
    long: &'static str,
    short: &'static str,
    /// In tenths.
    tenths: u32,
    minutes: u32,
    summary: &'static str,
    description: &'static str,
    /// When it is looked at in the trial, in minutes.
    after: u32,
}

impl Burn {
    /// The share of failures that is too much, in parts of a million.
    fn of_million(&self, workload: &Workload) -> u32 {
        self.tenths.saturating_mul(workload.failures_ppm) / 10
    }
}

const BURNS: [Burn; 3] = [
    Burn {
        name: "MainstayBudgetBurnsFast",
        severity: Severity::Critical,
        long: "1h",
        short: "5m",
        tenths: 144,
        minutes: 2,
        summary: "Requests fail so often that a month's budget is gone in two days",
        description: "More than 14.4 times the failures that the objective allows, over an hour and over the last 5 minutes.",
        after: 30,
    },
    Burn {
        name: "MainstayBudgetBurns",
        severity: Severity::Critical,
        long: "6h",
        short: "30m",
        tenths: 60,
        minutes: 5,
        summary: "Requests fail so often that a month's budget is gone in five days",
        description: "More than 6 times the failures that the objective allows, over 6 hours and over the last 30 minutes.",
        after: 30,
    },
    Burn {
        name: "MainstayBudgetBurnsSlowly",
        severity: Severity::Warning,
        long: "3d",
        short: "6h",
        tenths: 10,
        minutes: 60,
        summary: "Requests fail more often than the objective allows",
        description: "More failures than the objective allows, over 3 days and over the last 6 hours.",
        after: 120,
    },
];

/// The windows, and the names under which the share of failures in them is recorded.
pub(super) const RECORDED: [(&str, &str); 5] = [
    ("5m", "job_namespace:mainstay_requests_failed:ratio_rate5m"),
    ("30m", "job_namespace:mainstay_requests_failed:ratio_rate30m"),
    ("1h", "job_namespace:mainstay_requests_failed:ratio_rate1h"),
    ("6h", "job_namespace:mainstay_requests_failed:ratio_rate6h"),
    ("3d", "job_namespace:mainstay_requests_failed:ratio_rate3d"),
];

/// The query for the share of failures in a window; 0 where nothing failed.
pub(in crate::targets) fn failed(scope: &Scope, window: &str) -> String {
    let all = sum(&[], &scope.rate(&metric::REQUESTS, NO_WORK, window));
    let failed = sum(&[], &scope.rate(&metric::REQUESTS, &format!("{NO_WORK},{FAILED}"), window));
    format!("({failed} or 0 * {all}) / {all}")
}

/// How many requests are answered, each second.
pub(in crate::targets) fn requests(scope: &Scope, by: &[&str], window: &str) -> String {
    sum(by, &scope.rate(&metric::REQUESTS, NO_WORK, window))
}

/// The alerts.
pub(super) fn alerts(scope: &Scope, workload: &Workload) -> Vec<Alert> {
    let reached = |burn: &&Burn| burn.of_million(workload) < SHARE_MAX;
    BURNS.iter().filter(reached).map(|burn| alert(burn, scope, workload)).collect()
}

fn alert(burn: &Burn, scope: &Scope, workload: &Workload) -> Alert {
    let allowed = share(workload.failures_ppm);
    let over = |window: &str| {
        let recorded = RECORDED.iter().find(|(known, _)| *known == window).map_or("", |(_, name)| name);
        let (whole, tenth) = (burn.tenths / 10, burn.tenths % 10);
        format!("{} > {whole}.{tenth} * {allowed}", scope.named(recorded, ""))
    };
    let failures = scope.increase(&metric::REQUESTS, &format!("{NO_WORK},{FAILED}"), burn.long);
    let enough = format!("{} >= {FAILURES_MIN}", sum(&[], &failures));
    let on = SERVICE.join(", ");
    Alert {
        name: burn.name,
        severity: burn.severity,
        query: format!("{} and on ({on}) {} and on ({on}) {enough}", over(burn.long), over(burn.short)),
        minutes: burn.minutes,
        summary: burn.summary,
        description: format!(
            "{} The objective allows {} % to fail.",
            burn.description,
            percent(workload.failures_ppm)
        ),
        trial: Trial {
            after: burn.after,
            every: 1,
            of_service: true,
            labels: Vec::new(),
            fires: answered(burn.of_million(workload) * 2),
            silent: answered(burn.of_million(workload) / 2),
        },
    }
}

/// Requests of which so many of a million fail, at most nine of ten.
fn answered(failing_ppm: u32) -> Vec<Series> {
    let failing = u64::from(failing_ppm.min(900_000));
    // Beside 10,000 a minute that go well; in thousandths, for a series of the trial may grow by parts of one.
    let thousandths = 10_000_000 * failing / (1_000_000 - failing);
    let badly = format!("0+{}.{:03}x150", thousandths / 1_000, thousandths % 1_000);
    vec![
        series(&metric::REQUESTS, &["/v1/invoke", "POST", "200"], "0+10000x150"),
        series(&metric::REQUESTS, &["/v1/invoke", "POST", "500"], badly),
        // A replica that drains says so: that is no failure.
        series(&metric::REQUESTS, &["/ready", "GET", "503"], "0+10000x150"),
    ]
}

/// Parts of a million as a fraction: `0.001`.
fn share(ppm: u32) -> String {
    let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
    text.trim_end_matches('0').to_owned()
}

/// Parts of a million in percent: `0.1`.
fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_million_are_written_as_people_do() {
        for (ppm, fraction, hundredth) in
            [(1_000, "0.001", "0.1"), (10, "0.00001", "0.001"), (10_000, "0.01", "1")]
        {
            assert_eq!((share(ppm).as_str(), percent(ppm).as_str()), (fraction, hundredth));
        }
    }
}
