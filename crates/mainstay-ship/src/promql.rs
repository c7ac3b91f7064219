//! Queries over what the service measures. Names come from `mainstay_core::metric` alone; a test reads every query that
//! is written and looks each name and label up.

use mainstay_core::metric::Metric;

use crate::targets::kubernetes::namespace_name;
use crate::workload::Workload;

/// Whether a scrape worked: the one series that Prometheus makes itself.
pub(crate) const UP: &str = "up";

/// Labels that tell a service in an environment from others. Where nobody gives a namespace, the second is empty.
pub(crate) const SERVICE: [&str; 2] = ["job", "namespace"];

/// What a query looks at: the matchers that every selector of it has.
#[derive(Clone, Debug)]
pub(crate) struct Scope(String);

impl Scope {
    /// The service in its environment: under its name as job, and in its namespace or in none.
    pub(crate) fn of(workload: &Workload) -> Self {
        let (job, namespace) = (quoted(&workload.name), quoted(&format!("{}|", namespace_name(workload))));
        Self(format!("job={job},namespace=~{namespace}"))
    }

    /// The service, with what else is said by variables of a dashboard.
    pub(crate) fn on_board(workload: &Workload) -> Self {
        let job = quoted(&workload.name);
        Self(format!("job={job},namespace=~\"$namespace\",instance=~\"$instance\""))
    }

    /// Series of a name, with further matchers if there are any.
    pub(crate) fn named(&self, name: &str, matchers: &str) -> String {
        let comma = if matchers.is_empty() { "" } else { "," };
        format!("{name}{{{}{comma}{matchers}}}", self.0)
    }

    /// Series of a metric.
    pub(crate) fn series(&self, metric: &Metric, matchers: &str) -> String {
        self.named(metric.name, matchers)
    }

    /// How fast a count grows, each second.
    pub(crate) fn rate(&self, metric: &Metric, matchers: &str, window: &str) -> String {
        format!("rate({}[{window}])", self.series(metric, matchers))
    }

    /// By how much a count grew.
    pub(crate) fn increase(&self, metric: &Metric, matchers: &str, window: &str) -> String {
        format!("increase({}[{window}])", self.series(metric, matchers))
    }

    /// What `percent` of the durations stay under, by these labels besides the service's.
    pub(crate) fn quantile(&self, percent: u32, metric: &Metric, by: &[&str], window: &str) -> String {
        let buckets = self.named(&format!("{}_bucket", metric.name), "");
        let by: Vec<&str> = by.iter().copied().chain(["le"]).collect();
        let (whole, part) = (percent / 100, percent % 100);
        format!("histogram_quantile({whole}.{part:02}, {})", sum(&by, &format!("rate({buckets}[{window}])")))
    }
}

/// The sum by the service and these labels.
pub(crate) fn sum(by: &[&str], query: &str) -> String {
    over("sum", by, query)
}

/// An aggregation by the service and these labels.
pub(crate) fn over(aggregation: &str, by: &[&str], query: &str) -> String {
    let by: Vec<&str> = SERVICE.iter().chain(by).copied().collect();
    format!("{aggregation} by ({}) ({query})", by.join(", "))
}

/// A text as a query holds it.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
pub(crate) mod tests {
    use mainstay_core::metric::{self, Form};

    use super::*;

    /// What a query selects: names, and the labels that their matchers ask for.
    pub(crate) fn selected(query: &str) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        let mut rest = query;
        while let Some(open) = rest.find('{') {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
            let name = rest[..open].rsplit(|c| !word(c)).next().unwrap_or_default();
            let mut labels = Vec::new();
            let mut inside = &rest[open + 1..];
            while !inside.starts_with('}') {
                let at = inside.find(['=', '!']).expect("a matcher");
                labels.push(inside[..at].trim_start_matches(',').to_owned());
                let text = inside[at..]
                    .trim_start_matches(['=', '!', '~'])
                    .strip_prefix('"')
                    .expect("a quoted text");
                let end =
                    (0..text.len()).find(|&at| text[at..].starts_with('"') && !text[..at].ends_with('\\'));
                inside = &text[end.expect("its end") + 1..];
            }
            found.push((name.to_owned(), labels));
            rest = &inside[1..];
        }
        found
    }

    /// Says what a query asks for that nothing shows; `recorded` are the names that rules record.
    pub(crate) fn unknown(query: &str, recorded: &[String]) -> Option<String> {
        let selected = selected(query);
        if selected.is_empty() {
            return Some(format!("it selects nothing: {query}"));
        }
        for (name, labels) in selected {
            let parts = ["_bucket", "_sum", "_count"];
            let shown = metric::ALL.iter().find(|metric| match metric.form {
                Form::Durations => parts.iter().any(|part| name.strip_suffix(part) == Some(metric.name)),
                Form::Count | Form::Level => metric.name == name,
            });
            let Some(metric) = shown else {
                if name == UP || recorded.contains(&name) {
                    continue;
                }
                return Some(format!("no metric is called `{name}`: {query}"));
            };
            let given = ["job", "namespace", "instance", "le"];
            if let Some(label) = labels
                .iter()
                .find(|label| !metric.labels.contains(&label.as_str()) && !given.contains(&label.as_str()))
            {
                return Some(format!("`{name}` has no label `{label}`: {query}"));
            }
        }
        None
    }

    #[test]
    fn a_name_or_label_that_nothing_shows_is_found() {
        let recorded = ["a:b:rate5m".to_owned()];
        for good in [
            "mainstay_ready{job=\"a\"} == 0",
            "rate(mainstay_tokens_total{type!~\"x\\\"}y\",model!=\"m\"}[5m])",
            "a:b:rate5m{} > 1",
        ] {
            assert_eq!(unknown(good, &recorded), None, "{good}");
        }
        for bad in [
            "mainstay_reddy{job=\"a\"}",
            "mainstay_ready{job=\"a\"} / mainstay_tokens{job=\"a\"}",
            "mainstay_ready{modell=\"a\"}",
            "mainstay_run_duration_seconds{job=\"a\"}",
            "vector(1)",
            "a:b:rate6m{}",
        ] {
            assert!(unknown(bad, &recorded).is_some(), "{bad}");
        }
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }
}
