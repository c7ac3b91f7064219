//! What values become: the text that the Dapr runtime would hand to its component. It reads YAML 1.1 with Go's
//! `sigs.k8s.io/yaml`, writes the value as JSON, and takes the JSON's text, without the quotes where it is a string.

use crate::fakes::{component, text};

fn check(value: &str, expect: &str) {
    let file = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: x\nspec:\n  type: state.redis\n  metadata:\n  \
         - name: v\n    value: {value}\n"
    );
    assert_eq!(text(&component(&file), "v"), expect, "{value}");
}

#[test]
fn plain_scalars_are_those_of_yaml_1_1() {
    check("off", "false");
    check("yes", "true");
    check("True", "true");
    check("1_000", "1000");
    check("0x10", "16");
    check("0o17", "15");
    check("017", "15");
    check("0b11", "3");
    check("22:22", "22:22");
    check("1e3", "1000");
    check("1.10", "1.1");
    check("1e21", "1e+21");
    check("18446744073709551615", "18446744073709551615");
    check("2026-11-21", "2026-11-21");
    check("5s", "5s");
    check("1.2.3", "1.2.3");
}

#[test]
fn nothing_is_no_text() {
    check("null", "");
    check("~", "");
    check("", "");
    check("\"\"", "");
    check("''", "");
}

#[test]
fn quoted_and_tagged_scalars_stay_as_they_are() {
    check("\"off\"", "off");
    check("'1_000'", "1_000");
    check("!!str 017", "017");
    check("!thing 017", "017");
    check("\"a\\nb\"", "a\nb");
    check("|\n      a\n      b", "a\nb\n");
    check("\"1e3\"", "1e3");
}

#[test]
fn lists_and_maps_are_json() {
    check("{b: 1, a: [x, ~, off, 1.50]}", r#"{"a":["x",null,false,1.5],"b":1}"#);
    check("[]", "[]");
    check("{}", "{}");
    check("{on: yes, 1.5: 2, 0x10: 3}", r#"{"1.5":2,"16":3,"true":true}"#);
    check(r#"["<a&b>", "q\"\\", "ä"]"#, r#"["\u003ca\u0026b\u003e","q\"\\","ä"]"#);
}

#[test]
fn numbers_and_truth_values_are_text_where_text_is_wanted() {
    let file = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: 007 }\n\
                spec: { type: state.redis, version: 1.10, metadata: [{ name: on, value: x }] }\nscopes: [1, yes]\n";
    let component = component(file);
    assert_eq!((component.name.as_str(), component.version.as_str()), ("7", "1.1"));
    assert_eq!(text(&component, "true"), "x");
    assert_eq!(component.scopes, ["1", "true"]);
}
