//! Ports stay small: an adapter that has to write more than eight methods is two adapters.

use super::source::{closing, line_of};
use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const RULE: Rule = Rule { name: "port-size", check };

/// Methods that an implementation must write.
const REQUIRED_MAX: usize = 8;
/// Where the ports are.
const CORE: &str = "crates/mainstay-core/src/";

fn check(tree: &Tree) -> Vec<Finding> {
    let core = tree.sources.iter().filter(|(path, _)| path.starts_with(CORE));
    core.flat_map(|(path, source)| large_traits(path, &source.code)).collect()
}

fn large_traits(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("pub trait ") {
        let Some(open) = code[at..].find('{').map(|open| at + open) else { continue };
        let Some(close) = closing(code, open) else { continue };
        let required = required_methods(&code[open + 1..close]);
        if required > REQUIRED_MAX {
            let message = format!("a port of {required} required methods; {REQUIRED_MAX} is the bound");
            findings.push(Finding::fault(format!("{path}:{}", line_of(code, at)), message));
        }
    }
    findings
}

fn required_methods(body: &str) -> usize {
    let ends = body
        .match_indices("fn ")
        .filter_map(|(at, _)| body[at..].find(['{', ';']).map(|end| body.as_bytes()[at + end]));
    ends.filter(|&end| end == b';').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_nine_required_methods_is_a_fault() {
        let port = |count: usize| {
            format!("pub trait P {{\n{}    fn given(&self) {{}}\n}}\n", "    fn m(&self);\n".repeat(count))
        };
        let path = "crates/mainstay-core/src/p.rs";
        assert_eq!(check(&Tree::with(path, &port(8))), []);
        assert_eq!(check(&Tree::with(path, &port(9))).len(), 1);
    }
}
