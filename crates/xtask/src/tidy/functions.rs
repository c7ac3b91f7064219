//! Functions fit on a screen, tests' tables and goldens apart.

use super::sizes::is_production;
use super::source::{closing, line_of};
use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const RULE: Rule = Rule { name: "function-length", check };

/// Lines of a function, signature and brackets included.
const LINES_MAX: usize = 70;

fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.sources.iter().filter(|(path, _)| is_production(path));
    files.flat_map(|(path, source)| long_functions(path, &source.code)).collect()
}

fn long_functions(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let in_word =
            code[..at].bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body = rest.find(['{', ';']).filter(|&end| rest.as_bytes()[end] == b'{').map(|end| at + 3 + end);
        let Some(close) = body.filter(|_| !in_word && !name.is_empty()).and_then(|open| closing(code, open))
        else {
            continue;
        };
        let (first, last) = (line_of(code, at), line_of(code, close));
        let lines = last - first + 1;
        if lines > LINES_MAX {
            let message = format!("`{name}` has {lines} lines; {LINES_MAX} is the bound");
            findings.push(Finding::fault(format!("{path}:{first}"), message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_a_fault() {
        let of = |lines: usize| {
            format!("//! x\nfn short() {{}}\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines))
        };
        assert_eq!(check(&Tree::with("a.rs", &of(68))), []);
        let found = check(&Tree::with("a.rs", &of(69)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "a.rs:3");
    }

    #[test]
    fn a_declaration_without_a_body_is_no_function() {
        let code = format!("trait T {{ fn a(&self); }}\nstruct S {{\n{}}}\n", "    x: u8,\n".repeat(80));
        assert_eq!(check(&Tree::with("a.rs", &code)), []);
    }
}
