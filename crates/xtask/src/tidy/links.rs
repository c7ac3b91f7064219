//! Links in Markdown lead somewhere: to a file of the tree, and to a heading of it where one is named. Links to the
//! outside are not followed.

use std::path::{Component, Path, PathBuf};

use super::source::line_of;
use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const RULE: Rule = Rule { name: "links", check };

fn check(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|(path, _)| path.ends_with(".md"));
    let mut findings = Vec::new();
    for (path, text) in pages {
        for (at, target) in targets(text) {
            let broken = broken(tree, path, target);
            findings.extend(broken.map(|why| {
                Finding::fault(format!("{path}:{}", line_of(text, at)), format!("`{target}` {why}"))
            }));
        }
    }
    findings
}

/// Places and targets of `[text](target)`, outside of fenced code.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut fenced, mut start) = (false, 0);
    for line in text.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        for (at, _) in line.match_indices("](").filter(|_| !fenced) {
            let rest = &line[at + 2..];
            found.extend(rest.find(')').map(|end| (start + at, &rest[..end])));
        }
        start += line.len();
    }
    found
}

fn broken(tree: &Tree, page: &str, target: &str) -> Option<&'static str> {
    let outside = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if outside {
        return None;
    }
    let (file, heading) =
        target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { page.to_owned() } else { resolve(page, file) };
    let folder = format!("{}/", path.trim_end_matches('/'));
    let Some(text) = tree.files.get(&path) else {
        return (!tree.files.keys().any(|other| other.starts_with(&folder))).then_some("leads nowhere");
    };
    let missing = heading.is_some_and(|heading| !headings(text).any(|slug| slug == heading));
    missing.then_some("names no heading of that page")
}

fn resolve(page: &str, file: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().unwrap_or(Path::new("")).join(file).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.to_string_lossy().into_owned()
}

/// Headings as links name them: lower case, spaces to hyphens, other marks left out.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[track_caller]
    fn faults(link: &str) -> usize {
        let page = format!("# Here\n[x]({link})\n```\n[y](nowhere.md)\n```\n");
        let files = [
            ("docs/a.md", page.as_str()),
            ("docs/errors/E.md", "# E\n## What to do\n"),
            ("README.md", "# R\n"),
        ];
        let files: BTreeMap<_, _> =
            files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        check(&Tree::of(files, Vec::new())).len()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_fault() {
        for good in [
            "errors/E.md",
            "errors/E.md#what-to-do",
            "../README.md",
            "errors/",
            "#here",
            "https://example.com/x",
        ] {
            assert_eq!(faults(good), 0, "{good}");
        }
        for bad in ["errors/F.md", "errors/E.md#what", "../README", "#there", "docs/errors/E.md"] {
            assert_eq!(faults(bad), 1, "{bad}");
        }
    }
}
