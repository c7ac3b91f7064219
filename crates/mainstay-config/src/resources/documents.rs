//! Cuts a file into its documents, as the runtime that resource files are written for does: at every line that begins
//! with `---`, whatever follows on it. So a document with a fault of syntax does not hide the next one.

use std::ops::Range;

/// The documents of a file, in order; those that hold nothing but directives and comments are left out.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    const SEPARATOR: &str = "\n---";
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(at) = text[start..].find(SEPARATOR) {
        let end = start + at;
        parts.push(start..end);
        let line = end + SEPARATOR.len();
        start = text[line..].find('\n').map_or(text.len(), |end| line + end + 1);
    }
    parts.push(start..text.len());
    parts.retain(|part| !is_empty(&text[part.clone()]));
    parts
}

fn is_empty(document: &str) -> bool {
    let idle = |line: &str| line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "...";
    document.trim_start_matches('\u{feff}').lines().all(|line| idle(line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let parts: Vec<&str> = split(text).into_iter().map(|part| &text[part]).collect();
        assert_eq!(parts, expect, "{text:?}");
    }

    #[test]
    fn a_line_of_dashes_ends_a_document() {
        check("a: 1\n---\nb: 2\n", &["a: 1", "b: 2\n"]);
        check("---\na: 1\r\n--- # next\r\nb: 2", &["---\na: 1\r", "b: 2"]);
        check("a: 1\n---", &["a: 1"]);
        check("a: 1\n----\nb: 1", &["a: 1", "b: 1"]);
        check("a: |\n  x\n  ---\n  y\n", &["a: |\n  x\n  ---\n  y\n"]);
    }

    #[test]
    fn documents_without_content_are_none() {
        check("", &[]);
        check("# nothing\n---\n\n---\n", &[]);
        check("%YAML 1.1\n---\na: 1\n", &["a: 1\n"]);
        check("\u{feff}# x\n", &[]);
    }
}
