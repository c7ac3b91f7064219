//! Whatever a file holds, reading it ends soon, without a panic, and with positions inside the text.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::fakes::load;

/// Loads and renders, and holds what must always hold. Gives the number of faults.
fn check(text: &str) -> usize {
    let start = Instant::now();
    let count = match load(text) {
        Ok(_) => 0,
        Err(faults) => {
            assert!(!faults.faults().is_empty(), "an error without a fault");
            for fault in faults.faults() {
                if let mainstay_config::Place::Text(span) = fault.place {
                    assert!(
                        span.start <= span.end && span.end <= text.len(),
                        "{fault:?} is outside the text"
                    );
                    assert!(text.is_char_boundary(span.start), "{fault:?} cuts a character");
                }
            }
            let said = faults.render(false);
            assert!(!said.contains(['\x1b', '\x07', '\u{202e}']), "the terminal could be steered");
            faults.count()
        }
    };
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    count
}

#[test]
fn deep_nesting_is_refused() {
    assert_eq!(check(&"[".repeat(100_000)), 1);
    assert_eq!(check(&"{a: ".repeat(10_000)), 1);
    assert_eq!(check(&"- ".repeat(50_000)), 1);
    let mut block = String::new();
    for depth in 0..500 {
        writeln!(block, "{}a:", " ".repeat(depth)).unwrap();
    }
    assert_eq!(check(&block), 1);
}

#[test]
fn a_billion_laughs_are_not_laughed() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let alias = format!("*a{}", n - 1);
        writeln!(bomb, "a{n}: &a{n} [{}]", vec![alias; 9].join(", ")).unwrap();
    }
    assert!(load(&bomb).unwrap_err().render(false).contains("more than 100000 values"));
    check(&bomb);
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 100].join(", "));
    assert!(load(&long).unwrap_err().render(false).contains("bytes of text"));
    let nested = format!(
        "a: {}[{}]{}\n",
        (0..50).fold(String::new(), |mut s, n| {
            write!(s, "&n{n} [").unwrap();
            s
        }),
        "x, ".repeat(50_000),
        "]".repeat(50)
    );
    assert!(load(&nested).unwrap_err().render(false).contains("more than 100000 values"));
}

#[test]
fn chains_of_aliases_do_not_nest_without_end() {
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for n in 1..2_000 {
        writeln!(chain, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    assert!(load(&chain).unwrap_err().render(false).contains("deeper than 64 levels"));
}

#[test]
fn a_huge_spec_is_refused_and_a_large_one_read() {
    assert_eq!(check(&"#".repeat(2 << 20)), 1);
    let agents: String = (0..1000).fold("name: x\nagents:\n".to_owned(), |mut text, n| {
        writeln!(text, "  agent-{n}: {{ declared: {{ model: default, instructions: Hello number {n}. }} }}")
            .unwrap();
        text
    });
    assert_eq!(check(&agents), 0);
}

#[test]
fn many_wrong_references_cost_little() {
    let mut text = "name: x\nmodels:\n".to_owned();
    for n in 0..5_000 {
        writeln!(text, "  model-number-{n}: {{ targets: [provider-number-{n}/x] }}").unwrap();
    }
    assert!(check(&text) > 5_000);
}

#[test]
fn odd_bytes_are_read_or_refused() {
    for text in [
        "\u{feff}name: x",
        "name: x\r\nserver: {}\r\n",
        "name: x\rserver: {}\r",
        "\t",
        "\0",
        "name: \0",
        "%YAML 1.2\n---\nname: x",
        "name: \"\\ud800\"",
        "? ? ? a",
        ": : :",
        "&a *a",
        "*a",
        "!!binary x",
        "!<x> y",
        "- - - -",
        "---\n---\n",
        "...\n",
        "--- |\n  x",
        "name: >-\n  x\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        ">",
        "@",
        "`",
        "%",
        "\u{2028}",
        "name: x\u{85}y",
        "a:\n\t- b",
    ] {
        check(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "name: x\n", "server:", "agents:", "\n", "  ", "- ", ": ", "{", "}", "[", "]", ",", "\"", "'", "&a ", "*a ",
                "!t ", "|\n", ">\n", "# c\n", "~", "1e9", "0x1", "true", "<<: ", "? ", "\t", "\r\n", "ä", "漢", "\u{feff}",
                "drain: 30s", "declared", "app", "key: sk-1", "...\n", "---\n", "%YAML 1.2\n", "\\u", "0.0.0.0:80",
            ]),
            0..60,
        )
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn a_good_spec_with_bytes_changed_is_read_or_refused(at in 0usize..600, with in "[\\x20-\\x7e\\n\\t]{0,4}") {
        let good = include_str!("faults/many.yaml");
        let at = at.min(good.len());
        if good.is_char_boundary(at) {
            check(&format!("{}{with}{}", &good[..at], &good[at..]));
        }
    }
}
