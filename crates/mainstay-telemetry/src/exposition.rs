//! Prometheus' text format 0.0.4, which every scraper reads, made of the OpenMetrics text that the registry writes.
//!
//! The two differ in comments alone: a counter's family bears its `_total`, there is no `UNIT` and no end mark. Samples
//! are passed on as they are.

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rewrites the comments.
pub(crate) fn classic(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said;
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            describe(&mut out, help, family);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The family's two comments; help comes first and type says how the family is called.
fn describe(out: &mut String, help: &str, family: &str) {
    let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
    let suffix = if kind == "counter" { "_total" } else { "" };
    let text = help.strip_prefix(name).map_or("", str::trim_start);
    for piece in ["# HELP ", name, suffix, " ", text, "\n# TYPE ", name, suffix, " ", kind, "\n"] {
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_rewritten_and_samples_are_not() {
        let open_metrics = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                            a_seconds_total{x=\"# TYPE\"} 1.5\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let expect = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n\
                      a_seconds_total{x=\"# TYPE\"} 1.5\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open_metrics), expect);
    }
}
