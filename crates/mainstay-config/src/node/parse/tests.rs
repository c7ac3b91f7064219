//! The tree: values, places, and what is stepped over.

use serde_json::{Value as Json, json};

use super::super::Node;
use super::*;

fn read(text: &str) -> (Option<Node>, Faults) {
    let mut faults = Faults::default();
    let node = parse(text, &mut faults);
    (node, faults)
}

fn check(text: &str, expect: Json) {
    let (node, faults) = read(text);
    assert!(faults.is_empty(), "{text:?}: {:?}", faults.list);
    assert_eq!(node.unwrap().to_json(), expect, "{text:?}");
}

/// The text that a value and its key were read from.
fn places<'t>(text: &'t str, path: &[&str]) -> (&'t str, &'t str) {
    let mut node = read(text).0.unwrap();
    let mut key = Span::default();
    for step in path {
        (node, key) = match (step.parse::<usize>(), node.value) {
            (Ok(n), Value::List(items)) => (items[n].clone(), key),
            (_, Value::Map(entries)) => {
                let entry = entries.into_iter().find(|entry| entry.key == *step).unwrap();
                (entry.node, entry.key_span)
            }
            _ => panic!("no {step}"),
        };
    }
    (&text[key.start..key.end], &text[node.span.start..node.span.end])
}

#[test]
fn values_are_those_of_the_text() {
    check("", Json::Null);
    check("# nothing\n", Json::Null);
    check(
        "a: 1\nb: [x, 'y', \"z\\n\"]\nc: {d: ~}",
        json!({"a": 1, "b": ["x", "y", "z\n"], "c": {"d": null}}),
    );
    check("a: |\n  one\n  two\nb: >-\n  one\n  two\n", json!({"a": "one\ntwo\n", "b": "one two"}));
    check("8080: on\n'yes': no", json!({"8080": "on", "yes": "no"}));
    check("---\na: 1\n...\n", json!({"a": 1}));
    check("a: &x [1]\nb: *x\n", json!({"a": [1], "b": [1]}));
}

#[test]
fn places_are_those_of_the_text() {
    let text = "ä: 1\nlist:\n  - one\n  - two: {x: 'y'}  # c\n\nlast: |\n  text\n\nend: \"q\"\n";
    assert_eq!(places(text, &["ä"]), ("ä", "1"));
    assert_eq!(places(text, &["list"]), ("list", "- one\n  - two: {x: 'y'}"));
    assert_eq!(places(text, &["list", "1", "two"]), ("two", "{x: 'y'}"));
    assert_eq!(places(text, &["list", "1", "two", "x"]), ("x", "'y'"));
    assert_eq!(places(text, &["last"]), ("last", "text"));
    assert_eq!(places(text, &["end"]), ("end", "\"q\""));
}

#[test]
fn places_hold_behind_a_byte_order_mark_and_with_crlf() {
    assert_eq!(places("\u{feff}a: b\r\nc: d\r\n", &["c"]), ("c", "d"));
}

#[test]
fn an_alias_is_placed_where_it_stands() {
    assert_eq!(places("a: &x { k: v }\nb: *x\n", &["b"]), ("b", "*x"));
    assert_eq!(places("a: &x { k: v }\nb: *x\n", &["b", "k"]), ("*x", "*x"));
}

#[test]
fn what_can_be_stepped_over_does_not_hide_the_rest() {
    let (node, faults) = read("a: 1\na: 2\nb: !t 3\n<<: 4\nc: .nan\n? [x]\n: 5\nd: 6\n");
    assert_eq!(faults.list.len(), 5, "{:?}", faults.list);
    assert_eq!(node.unwrap().to_json(), json!({"a": 1, "b": 3, "c": null, "d": 6}));
}

#[test]
fn broken_syntax_ends_the_reading_with_one_fault() {
    for text in [
        "a: [",
        "a: 'x",
        "a: b: c",
        "a:\n\tb: 1",
        "a: @x",
        "a: *x",
        "a: 1\n---\nb: 2",
        "%YAML 1.2\n---\na: 1",
    ] {
        let (node, faults) = read(text);
        assert!(node.is_none(), "{text:?}");
        assert_eq!(faults.list.len(), 1, "{text:?}: {:?}", faults.list);
        assert_eq!(faults.list[0].code, &codes::CONFIG_YAML);
    }
}
