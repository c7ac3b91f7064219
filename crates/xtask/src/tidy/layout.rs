//! Files have names that say what is in them, and a first paragraph that says it in words.

use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const MODULES: Rule = Rule { name: "module-names", check: modules };
pub(super) const HEADS: Rule = Rule { name: "file-heads", check: heads };

/// Names under which things are put that nobody can find again.
const BANNED: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "stuff"];

fn modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.sources.keys() {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = file.trim_end_matches(".rs");
        if stem == "mod" {
            findings.push(Finding::fault(
                path,
                format!("a room is `{folder}.rs` and the folder `{folder}/`, not mod.rs"),
            ));
        }
        let folders = folder.split('/');
        if let Some(name) = folders.chain([stem]).find(|name| BANNED.contains(name)) {
            findings.push(Finding::fault(
                path,
                format!("`{name}` says nothing: name the module after what it holds"),
            ));
        }
    }
    findings
}

fn heads(tree: &Tree) -> Vec<Finding> {
    let rust = tree.files.iter().filter(|(path, _)| path.ends_with(".rs"));
    let bare =
        rust.filter(|(_, text)| !text.trim_start_matches("#![cfg(test)]").trim_start().starts_with("//! "));
    bare.map(|(path, _)| {
        Finding::fault(path, "the file begins with `//!`: its purpose, then what it does not do")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_rs_and_empty_names_are_faults() {
        let count = |path: &str| modules(&Tree::with(path, "//! x\n")).len();
        assert_eq!(count("crates/a/src/state/mod.rs"), 1);
        assert_eq!(count("crates/a/src/utils.rs"), 1);
        assert_eq!(count("crates/a/src/common/net.rs"), 1);
        assert_eq!(count("crates/a/src/state.rs"), 0);
    }

    #[test]
    fn a_file_without_a_head_is_a_fault() {
        assert_eq!(heads(&Tree::with("a.rs", "use x;\n//! late\n")).len(), 1);
        assert_eq!(heads(&Tree::with("a.rs", "//! What it is.\n")).len(), 0);
    }
}
