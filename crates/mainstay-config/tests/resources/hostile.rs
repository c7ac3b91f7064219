//! Whatever a file holds, reading it ends, without a panic, and with positions inside the text.

use mainstay_config::Place;
use proptest::prelude::*;

use crate::fakes::load_files;

fn check(text: &str) {
    let loaded = load_files(&[("a.yaml", text)]);
    for found in loaded.faults.iter().chain(&loaded.warnings) {
        assert!(!found.is_empty(), "diagnostics without any");
        for fault in found.faults() {
            if let Place::Text(span) = fault.place {
                assert!(span.start <= span.end && span.end <= text.len(), "{fault:?} is outside the text");
                assert!(text.is_char_boundary(span.start), "{fault:?} cuts a character");
            }
        }
        let said = found.render(false);
        assert!(!said.contains(['\x1b', '\x07', '\u{202e}']), "the terminal could be steered");
    }
}

const GOOD: &str = include_str!("faults/component.yaml");

#[test]
fn odd_texts_are_read_or_refused() {
    for text in [
        "",
        "---",
        "\n---",
        "\n---\n---",
        "%YAML 1.1\n---\na: 1",
        "a: &a [*a]",
        "<<: 1",
        "<<: *x",
        "<<: [{a: 1}, 2]",
        "? [x]\n: 1",
        "? {}\n: 1",
        "~: 1",
        "!!int x",
        "!!binary x",
        "a: !!float {}",
        "*a : 1",
        "&a b: *a",
        "kind: {}\napiVersion: []",
        "- a\n- b",
        "kind: Component\napiVersion: dapr.io/v1alpha1",
        "kind: Component\napiVersion: dapr.io/v1alpha1\nspec: 5",
        "kind: Component\napiVersion: dapr.io/v1alpha1\nmetadata: x\nspec: []\nscopes: {}\nauth: 1",
        "a: .inf",
        "\u{feff}a: 1\n---\nä: [",
        "a: 1\n...\nb: [",
        "a: \"\\ud800\"",
    ] {
        check(text);
    }
}

#[test]
fn many_aliases_do_not_cost_more_than_the_bound() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let alias = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![alias; 9].join(", "));
    }
    check(&bomb);
    let merged = (1..40).fold("a0: &a0 {k: v}\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} {{ <<: [*a{0}, *a{0}], k{n}: v }}\n", n - 1)
    });
    check(&merged);
}

#[test]
fn very_many_of_a_thing_are_read_or_refused() {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let head = |kind: &str| format!("apiVersion: dapr.io/v1alpha1\nkind: {kind}\nmetadata: {{ name: x }}\n");
    check(&many(40_000, &|_| "a: 1\n".to_owned()));
    let settings = many(30_000, &|n| format!("  - {{ name: redisHos{n} }}\n"));
    check(&format!("{}spec:\n  type: state.redis\n  metadata:\n{settings}", head("Component")));
    check(&many(5_000, &|_| format!("{}spec: {{ type: bindings.cron }}\n---\n", head("Component"))));
    let targets = many(12_000, &|n| format!("      a{n}: {{ retry: retry-{n} }}\n"));
    let retries = many(8_000, &|n| format!("      retri-{n}: {{}}\n"));
    check(&format!(
        "{}spec:\n  policies:\n    retries:\n{retries}  targets:\n    apps:\n{targets}",
        head("Resiliency")
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn any_text_like_a_resource_is_read_or_refused(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "apiVersion: dapr.io/v1alpha1\n", "apiVersion: dapr.io/v2alpha1\n", "kind: Component\n", "kind: Configuration\n",
                "kind: Resiliency\n", "kind: Subscription\n", "kind: HTTPEndpoint\n", "metadata:\n", "  name: x\n", "spec:\n",
                "  type: state.redis\n", "  policies:\n", "    retries:\n", "      r: ", "{ duration: 5 }\n", "  targets:\n",
                "  metadata:\n", "  - name: y\n", "    value: ", "1_0", "off", "$X", "${", "<<: ", "*a", "&a ", "!!int ", "- ", "[", "]",
                "{", "}", ": ", "\n", "\n---\n", "  ", "\"", "'", "~", "#", "%", "ä", "\u{feff}", "\r\n", "\t", "scopes: [a]\n",
            ]),
            0..50,
        )
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn a_file_with_bytes_changed_is_read_or_refused(at in 0usize..2000, with in "[\\x20-\\x7e\\n\\t]{0,4}") {
        let at = at.min(GOOD.len());
        if GOOD.is_char_boundary(at) {
            check(&format!("{}{with}{}", &GOOD[..at], &GOOD[at..]));
        }
    }
}
