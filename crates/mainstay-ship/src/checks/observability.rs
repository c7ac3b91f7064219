//! Whether anyone would notice.

use super::subject::{Subject, is_dockerfile};
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
            "observability/runbooks",
            "each alert says how bad it is and what to do",
            "give each alert the label `severity` and the annotation `runbook_url`",
        ),
        judge: runbooks,
    },
    Rule {
        item: Item::new(
            "observability/logs",
            "log lines can be searched by their fields",
            "leave out `--log-format text`: a service writes a JSON object a line",
        ),
        judge: logs,
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

fn runbooks(subject: &Subject<'_>) -> Verdict {
    let (mut count, mut found) = (0, Vec::new());
    for artifact in subject.of_target("alerts") {
        let groups =
            artifact.documents().iter().filter_map(|document| document["groups"].as_array()).flatten();
        for rule in groups.filter_map(|group| group["rules"].as_array()).flatten() {
            let Some(name) = rule["alert"].as_str() else { continue };
            count += 1;
            for (at, key) in [(&rule["labels"], "severity"), (&rule["annotations"], "runbook_url")] {
                if at[key].as_str().is_none_or(str::is_empty) {
                    found.push(
                        artifact.finding(&format!("alert: {name}"), format!("alert `{name}` has no `{key}`")),
                    );
                }
            }
        }
    }
    if count == 0 {
        return subject.nothing("no alert is described under `deploy/alerts`");
    }
    Verdict::unless(found, format!("{count} alerts do"))
}

fn logs(subject: &Subject<'_>) -> Verdict {
    let starts = subject.artifacts.iter().filter(|artifact| {
        is_dockerfile(&artifact.file.path) || ["kubernetes", "compose"].contains(&artifact.target.as_str())
    });
    let (mut count, mut found) = (0, Vec::new());
    for artifact in starts {
        count += 1;
        if prose(&artifact.file.text) {
            found.push(artifact.finding("", "log lines are prose"));
        }
    }
    if count == 0 {
        return subject.nothing("nothing under `deploy/` says how the service is started");
    }
    Verdict::unless(found, "a JSON object a line, as `serve` writes them")
}

/// Whether a command line in a text, in whatever form, asks for logs in prose.
fn prose(text: &str) -> bool {
    let after = text.split("--log-format").skip(1);
    let mut formats = after.map(|rest| rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()));
    formats.any(|format| format.starts_with("text"))
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
