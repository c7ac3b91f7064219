//! Every error code has its page, and every page its code. (Core does not compile without the pages; this finds pages
//! whose code has gone.)

use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const RULE: Rule = Rule { name: "error-pages", check };

const CODES: &str = "crates/mainstay-core/src/codes.rs";
const PAGES: &str = "docs/errors/";

fn check(tree: &Tree) -> Vec<Finding> {
    let codes: Vec<&str> =
        tree.files.get(CODES).map_or_else(Vec::new, |text| text.lines().filter_map(code).collect());
    let pages = tree.files.keys().filter_map(|path| path.strip_prefix(PAGES)?.strip_suffix(".md"));
    let lost = pages.filter(|page| !codes.contains(page));
    let lost = lost
        .map(|page| Finding::fault(format!("{PAGES}{page}.md"), format!("no row of {CODES} has this code")));
    let missing = codes.iter().filter(|code| !tree.files.contains_key(&format!("{PAGES}{code}.md")));
    let missing = missing.map(|code| Finding::fault(CODES, format!("`{code}` has no page in {PAGES}")));
    lost.chain(missing).collect()
}

/// The code of a row: `NAME, Kind, "title";`.
fn code(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once(", ")?;
    let is_code = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && !name.is_empty();
    (is_code && rest.ends_with("\";")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_page_without_a_code_and_a_code_without_a_page_are_faults() {
        let rows = "codes! {\n    A_B, NotFound, \"no\";\n    C, Internal, \"bad\";\n}\n";
        let files = [(CODES, rows), ("docs/errors/A_B.md", "# A_B"), ("docs/errors/D.md", "# D")];
        let files: BTreeMap<_, _> =
            files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        let found = check(&Tree::of(files, Vec::new()));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
