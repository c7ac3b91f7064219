//! A strict reader of the text format 0.0.4. It knows what a lenient scraper forgives, and forgives nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Values by series, as written; the error names the line.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut reader = Reader::default();
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in text.lines() {
        reader.line(line).map_err(|why| format!("{why}: {line}"))?;
    }
    reader.close()?;
    Ok(reader.samples)
}

#[derive(Default)]
struct Reader {
    families: BTreeSet<String>,
    /// Name and kind of the present family; no kind between its two comments.
    family: Option<(String, Option<String>)>,
    samples: BTreeMap<String, f64>,
    /// Buckets of the present histogram: by the labels without `le`, the bounds and counts in order.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    counts: BTreeMap<String, f64>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(help) = line.strip_prefix("# HELP ") {
            self.close().map_err(|_| "the histogram before is not whole")?;
            let (name, _) = help.split_once(' ').ok_or("no help")?;
            self.family = Some((name.to_owned(), None));
            return if self.families.insert(name.to_owned()) { Ok(()) } else { Err("a family stands twice") };
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or("no kind")?;
            let known = ["counter", "gauge", "histogram"].contains(&kind);
            return match &mut self.family {
                Some((of, none @ None)) if of == name && known => {
                    *none = Some(kind.to_owned());
                    Ok(())
                }
                _ => Err("a type without its help, or of an unknown kind"),
            };
        }
        if line.starts_with('#') { Err("an unknown comment") } else { self.sample(line) }
    }

    fn sample(&mut self, line: &str) -> Result<(), &'static str> {
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value: f64 = value.parse().map_err(|_| "not a number")?;
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').ok_or("no closing brace")?)?),
            None => (series, Vec::new()),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("not a metric's name");
        }
        let Some((family, Some(kind))) = &self.family else { return Err("a sample without its family") };
        let suffix = name.strip_prefix(family.as_str()).ok_or("a sample of another family")?;
        match (kind.as_str(), suffix) {
            ("counter", "") if name.ends_with("_total") && value >= 0.0 => {}
            ("gauge", "") => {}
            ("histogram", "_sum") => {}
            ("histogram", "_count") => _ = self.counts.insert(format!("{labels:?}"), value),
            ("histogram", "_bucket") => {
                let (bound, rest): (Vec<_>, Vec<_>) =
                    labels.iter().cloned().partition(|(name, _)| name == "le");
                let [(_, bound)] = bound.as_slice() else { return Err("a bucket without its bound") };
                let bound = bound.parse().map_err(|_| "a bound that is no number")?;
                self.buckets.entry(format!("{rest:?}")).or_default().push((bound, value));
            }
            _ => return Err("not a sample of this kind"),
        }
        if self.samples.insert(series.to_owned(), value).is_some() {
            Err("a series stands twice")
        } else {
            Ok(())
        }
    }

    /// A histogram's buckets rise up to `+Inf`, which holds its count.
    fn close(&mut self) -> Result<(), String> {
        for (labels, buckets) in std::mem::take(&mut self.buckets) {
            let rise = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = buckets.last().copied();
            if !rise || last.map(|(bound, _)| bound) != Some(f64::INFINITY) {
                return Err(format!("buckets do not rise to +Inf: {labels}"));
            }
            if self.counts.get(&labels).copied() != last.map(|(_, count)| count) {
                return Err(format!("the count is not the last bucket's: {labels}"));
            }
        }
        self.counts.clear();
        Ok(())
    }
}

/// `a="x",b="y"`, with `\\`, `\"` and `\n` in values.
fn labels(mut text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut labels: Vec<(String, String)> = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").ok_or("a label without its value")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without its end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next().ok_or("a value without its end")?.1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    _ => return Err("an unknown escape"),
                },
                (_, c) => value.push(c),
            }
        };
        if labels.iter().any(|(known, _)| known == name) {
            return Err("a label stands twice");
        }
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
        text = match text.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if text.is_empty() => text,
            _ => return Err("labels are not separated by commas"),
        };
    }
    Ok(labels)
}

#[test]
fn what_is_not_of_the_format_is_caught() {
    let family = |kind: &str, samples: &str| format!("# HELP a_total A.\n# TYPE a_total {kind}\n{samples}");
    let bad = [
        "a_total 1\n".to_owned(),
        "# TYPE a_total counter\na_total 1\n".to_owned(),
        family("info", "a_total 1\n"),
        family("counter", "a_total 1"),
        family("counter", "a_total one\n"),
        family("counter", "a_total -1\n"),
        family("counter", "a 1\n"),
        family("counter", "a_total 1\na_total 2\n"),
        family("counter", "a_total{x=\"1\" 1\n"),
        family("counter", "a_total{x=\"1\"y=\"2\"} 1\n"),
        family("counter", "a_total{x=\"1\",x=\"2\"} 1\n"),
        family("counter", "a_total{x=\"a\"b\"} 1\n"),
        family("counter", "a_total 1\n# EOF\n"),
        family("histogram", "a_total_bucket{le=\"1\"} 1\na_total_sum 1\na_total_count 1\n"),
        family("histogram", "a_total_bucket{le=\"1\"} 2\na_total_bucket{le=\"+Inf\"} 1\na_total_count 1\n"),
        family("histogram", "a_total_bucket{le=\"+Inf\"} 1\na_total_count 2\n"),
    ];
    for text in bad {
        assert!(parse(&text).is_err(), "{text}");
    }
    assert!(parse(&family("counter", "a_total{x=\"a\\\"b\",y=\"\\\\\"} 1\n")).is_ok());
}
