//! Files stay short enough to be read in one sitting.

use super::source::Source;
use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const FILES: Rule = Rule { name: "file-size", check: files };
pub(super) const INLINE_TESTS: Rule = Rule { name: "inline-tests", check: inline_tests };

/// Production lines that no file exceeds.
const LINES_MAX: usize = 600;
/// Production lines that nine files of ten stay under.
const LINES_P90_MAX: usize = 400;
/// Lines of tests at the end of a file; more go to `tests.rs` beside it.
const INLINE_TEST_LINES_MAX: usize = 150;

/// Whether the file's own lines are held to the bounds; tests have long tables and goldens.
pub(super) fn is_production(path: &str) -> bool {
    let test_folder = path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"));
    !test_folder && !path.ends_with("/tests.rs")
}

fn files(tree: &Tree) -> Vec<Finding> {
    let sizes = tree.sources.iter().filter(|(path, _)| is_production(path));
    let mut sizes: Vec<(usize, &String)> =
        sizes.map(|(path, source)| (source.production_lines(), path)).collect();
    sizes.sort_unstable();
    let mut findings: Vec<Finding> = sizes.iter().filter_map(|&(lines, path)| size(lines, path)).collect();
    let at = |share: usize| {
        sizes
            .get((sizes.len() * share / 100).min(sizes.len().saturating_sub(1)))
            .map_or(0, |&(lines, _)| lines)
    };
    let (half, most) = (at(50), at(90));
    let place = format!("{} files", sizes.len());
    findings.push(if most > LINES_P90_MAX {
        Finding::fault(
            place,
            format!("nine of ten files have up to {most} production lines; {LINES_P90_MAX} is the bound"),
        )
    } else {
        Finding::warning(place, format!("half have up to {half} production lines, nine of ten up to {most}"))
    });
    findings
}

fn size(lines: usize, path: &str) -> Option<Finding> {
    if lines > LINES_MAX {
        return Some(Finding::fault(
            path,
            format!("{lines} production lines; {LINES_MAX} is the bound: split it by task"),
        ));
    }
    let long = || {
        Finding::warning(
            path,
            format!("{lines} production lines; aim at 150, nine of ten under {LINES_P90_MAX}"),
        )
    };
    (lines > LINES_P90_MAX).then(long)
}

fn inline_tests(tree: &Tree) -> Vec<Finding> {
    let lines = |source: &Source| source.inline_tests.map_or(0, |(first, last)| last - first + 1);
    let long = tree.sources.iter().map(|(path, source)| (path, lines(source)));
    let long = long.filter(|(_, lines)| *lines > INLINE_TEST_LINES_MAX);
    let message =
        |lines| format!("{lines} lines of inline tests; beyond {INLINE_TEST_LINES_MAX} they go to tests.rs");
    long.map(|(path, lines)| Finding::fault(path, message(lines))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(findings: &[Finding]) -> usize {
        findings.iter().filter(|finding| !finding.warning).count()
    }

    #[test]
    fn a_long_file_is_a_fault_and_its_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(601);
        assert_eq!(faults(&files(&Tree::with("src/a.rs", &code))), 2);
        assert_eq!(faults(&files(&Tree::with("tests/a.rs", &code))), 0);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(700));
        assert_eq!(faults(&files(&Tree::with("src/a.rs", &tests))), 0);
        assert_eq!(faults(&inline_tests(&Tree::with("src/a.rs", &tests))), 1);
    }

    #[test]
    fn a_longish_file_is_a_note() {
        let one = size(450, "a.rs").unwrap();
        assert!(one.warning);
        assert_eq!(size(400, "a.rs"), None);
    }
}
