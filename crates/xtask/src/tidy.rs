//! ★ `tidy`: the house rules that a program can hold. To add one: a file in `tidy/` with a `RULE` and a bad input that
//! it catches in its tests, and a line in `RULES`.
//!
//! It reads what git would commit and what cargo says of the packages; it builds nothing and changes nothing.
//! Formatting and lints are other parts of `cargo xtask test`.

mod error_pages;
mod functions;
mod layout;
mod links;
mod ports;
mod rings;
mod sizes;
mod source;
mod tree;
mod words;

use tree::Tree;

/// A rule of the house.
struct Rule {
    /// Its name, shown with each finding.
    name: &'static str,
    /// Looks at the tree.
    check: fn(&Tree) -> Vec<Finding>,
}

static RULES: &[Rule] = &[
    rings::EDGES,
    rings::FEATURES,
    layout::MODULES,
    layout::HEADS,
    sizes::FILES,
    sizes::INLINE_TESTS,
    functions::RULE,
    ports::RULE,
    words::FORBIDDEN,
    words::CORE,
    words::CONFIG,
    links::RULE,
    error_pages::RULE,
];

/// Something that a rule has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// A file, with its line where there is one.
    place: String,
    /// What is wrong, and what would be right.
    message: String,
    /// Said, but not held against the tree.
    warning: bool,
}

impl Finding {
    fn fault(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), warning: false }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), warning: true }
    }
}

/// Holds every rule; false when one is broken.
pub(crate) fn run() -> anyhow::Result<bool> {
    let tree = Tree::read()?;
    let mut faults = 0;
    for rule in RULES {
        for finding in (rule.check)(&tree) {
            let word = if finding.warning { "note" } else { "FAULT" };
            println!("{word} [{}] {}: {}", rule.name, finding.place, finding.message);
            faults += usize::from(!finding.warning);
        }
    }
    println!(
        "tidy: {} files, {} packages, {} rules, {faults} faults",
        tree.files.len(),
        tree.packages.len(),
        RULES.len()
    );
    Ok(faults == 0)
}
