//! Whether anyone would notice.

use super::subject::Subject;
use super::{Item, Rule, Verdict};
use crate::targets;

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::new(
            "observability/scraped",
            "something reads the metrics",
            "give the pods the annotations `prometheus.io/scrape`, `port` and `path`, or add a PodMonitor",
        ),
        judge: scraped,
    },
    Rule {
        item: Item::new(
            "observability/alerts",
            "rules say when someone must look",
            "ship the target `alerts` and load its rules",
        ),
        judge: |subject| shipped(subject, "alerts", ("rules.yaml", "alert:"), "rules for alerts"),
    },
    Rule {
        item: Item::new(
            "observability/dashboard",
            "there is a page to look at",
            "ship the target `grafana` and import its dashboard",
        ),
        judge: |subject| shipped(subject, "grafana", ("dashboard.json", "\"panels\""), "a dashboard"),
    },
    Rule {
        item: Item::new(
            "observability/traces",
            "a request can be followed through what it calls",
            "send traces to a collector",
        ),
        judge: |_| Verdict::Missing("traces of its own; it hands `traceparent` on".to_owned()),
    },
];

fn scraped(subject: &Subject<'_>) -> Verdict {
    let monitors = subject.objects(&["PodMonitor", "ServiceMonitor"]).count() > 0;
    let aliases = &subject.plan.metrics.aliases;
    let names = if aliases.is_empty() {
        String::new()
    } else {
        format!(", with the names of {}", aliases.join(", "))
    };
    subject.each_pod(&format!("the metrics are read{names}"), |object, _| {
        let annotations = &object["spec"]["template"]["metadata"]["annotations"];
        let told =
            annotations["prometheus.io/scrape"] == "true" && !annotations["prometheus.io/port"].is_null();
        (!monitors && !told).then(|| ("annotations", "has metrics that nothing reads".to_owned()))
    })
}

/// Whether a target is shipped and has in it what it is for.
fn shipped(subject: &Subject<'_>, target: &'static str, (file, word): (&str, &str), what: &str) -> Verdict {
    if targets::find(target).is_none() {
        return Verdict::Missing(what.to_owned());
    }
    let mut named = subject.of_target(target).filter(|artifact| artifact.file.path.ends_with(file));
    if named.any(|artifact| artifact.file.text.contains(word)) {
        return Verdict::Pass(format!("`deploy/{target}` has {what}"));
    }
    match subject.of_target(target).next() {
        Some(_) => Verdict::fail(format!("`deploy/{target}` has not {what}")),
        None => subject.nothing(&format!("`deploy/{target}` is empty")),
    }
}
