//! Placeholders, and what arguments cannot do through them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fill(template: &str, arguments: Value) -> Result<String> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Template::parse(template).unwrap().fill(&arguments)?.finish().map(|uri| uri.to_string())
}

#[track_caller]
fn check(template: &str, arguments: Value, expect: &str) {
    assert_eq!(fill(template, arguments).unwrap(), expect);
}

#[test]
fn arguments_are_encoded_where_they_stand() {
    check("https://h/t/{id}", json!({"id": 42}), "https://h/t/42");
    check(
        "https://h/t/{id}.json?x={x}",
        json!({"id": "a b", "x": "1&y=2"}),
        "https://h/t/a%20b.json?x=1%26y%3D2",
    );
    check("https://h/{a}-{b}/", json!({"a": "ü", "b": true}), "https://h/%C3%BC-true/");
    check("http://h:81?q={q}", json!({"q": "a+b%20c"}), "http://h:81/?q=a%2Bb%2520c");
}

#[test]
fn a_query_parameter_without_its_argument_is_left_out() {
    check("https://h/?a={a}&fix=1&b={b}", json!({"b": "2"}), "https://h/?fix=1&b=2");
    check("https://h/?a={a}", json!({"a": null}), "https://h/");
}

#[test]
fn an_argument_cannot_leave_its_segment() {
    check("https://h/t/{id}/x", json!({"id": "../../admin"}), "https://h/t/..%2F..%2Fadmin/x");
    check("https://h/t/{id}/x", json!({"id": "1?admin=1#"}), "https://h/t/1%3Fadmin%3D1%23/x");
    for bad in ["", ".", ".."] {
        let error = fill("https://h/t/{id}", json!({ "id": bad })).unwrap_err();
        assert_eq!((error.code().id, error.field()), ("TOOL_ARGUMENTS", Some("id")), "{bad:?}");
    }
    check("https://h/v.{x}", json!({"x": "."}), "https://h/v..");
}

#[test]
fn what_has_no_one_form_is_refused_in_a_url() {
    for bad in [json!({}), json!({"id": null}), json!({"id": [1]}), json!({"id": {"a": 1}})] {
        assert_eq!(fill("https://h/{id}", bad).unwrap_err().code().id, "TOOL_ARGUMENTS");
    }
}

#[test]
fn a_url_is_bounded() {
    let error = fill("https://h/{id}", json!({"id": "x".repeat(URL_BYTES_MAX)})).unwrap_err();
    assert_eq!(error.code().id, "TOOL_ARGUMENTS");
}

#[test]
fn further_arguments_are_appended_to_the_query() {
    let arguments = json!({"s": "a b", "n": 1, "none": null, "list": [1, "x"], "o": {"k": true}, "a&b": 1});
    let Value::Object(arguments) = arguments else { unreachable!() };
    let mut filled = Template::parse("https://h/p?fix=1").unwrap().fill(&Map::new()).unwrap();
    filled.append_query(arguments.iter());
    let expect = "https://h/p?fix=1&s=a%20b&n=1&list=1&list=x&o=%7B%22k%22%3Atrue%7D&a%26b=1";
    assert_eq!(filled.finish().unwrap().to_string(), expect);
}

#[test]
fn a_template_that_could_go_astray_does_not_parse() {
    let cases = [
        ("h/x", "does not begin with"),
        ("ftp://h/x", "scheme is `ftp`"),
        ("{scheme}://h/", "scheme is"),
        ("https://{host}/x", "not in host or port"),
        ("https://h:{port}/x", "not in host or port"),
        ("https://h{path}", "not in host or port"),
        ("https://u:p@h/", "credentials"),
        ("https:///x", "host or port is not valid"),
        ("https://h:/x", "host or port is not valid"),
        ("https://h h/x", "host or port is not valid"),
        ("https://h/x#{y}", "fragment"),
        ("https://h/{", "without its partner"),
        ("https://h/}", "without its partner"),
        ("https://h/{a/b}", "without its partner"),
        ("https://h/{a b}", "not a placeholder"),
        ("https://h/a b", "invalid"),
    ];
    for (url, why) in cases {
        let error = Template::parse(url).unwrap_err();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn placeholders_are_listed_with_their_places() {
    let template = Template::parse("https://h/{a}/{b}?x={c}&a={a}").unwrap();
    let listed: Vec<_> = template.arguments().collect();
    use Place::{Path, Query};
    assert_eq!(listed, [("a", Path), ("b", Path), ("c", Query), ("a", Query)]);
    assert!(template.names("c") && !template.names("x"));
}

proptest! {
    #[test]
    fn no_argument_changes_scheme_host_port_or_the_number_of_segments(path in ".*", query in ".*") {
        let arguments = json!({"p": path, "q": query});
        if let Ok(url) = fill("https://tickets.example:8443/a/{p}/b?q={q}", arguments) {
            let uri: http::Uri = url.parse().unwrap();
            prop_assert_eq!(uri.scheme_str(), Some("https"));
            prop_assert_eq!(uri.authority().unwrap().as_str(), "tickets.example:8443");
            prop_assert_eq!(uri.path().split('/').count(), 4);
            prop_assert!(uri.path().starts_with("/a/") && uri.path().ends_with("/b"));
            prop_assert_eq!(uri.query().unwrap().split('&').count(), 1);
        } else {
            let refused = path.is_empty() || path == "." || path == ".." || path.len() + query.len() > 2000;
            prop_assert!(refused, "{:?} was refused", path);
        }
    }
}
