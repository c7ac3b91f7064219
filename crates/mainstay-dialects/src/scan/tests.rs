//! The scanner accepts what `serde_json` accepts, and finds what it finds.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn keys(body: &[u8]) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    members(body, |key, span| {
        out.push((key.into_owned(), String::from_utf8_lossy(&body[span]).into_owned()));
        Ok(())
    })?;
    Ok(out)
}

fn check_error(body: &str, code: &str, message: &str) {
    let error = keys(body.as_bytes()).unwrap_err();
    assert_eq!((error.code().id, error.message()), (code, message), "{body:?}");
}

#[test]
fn members_are_found_with_their_spans() {
    let found = keys(br#" {"a" : [1,{"model":"no"}], "m\u006fdel":"x" , "z":{} } "#).unwrap();
    let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [("a", r#"[1,{"model":"no"}]"#), ("model", r#""x""#), ("z", "{}")]);
}

#[test]
fn faults_are_named_with_line_and_column() {
    let json = |what: &str| format!("parse the body as JSON: {what}");
    check_error("", "INVALID_JSON", &json("the end instead of a JSON object at line 1, column 1"));
    check_error("{\n \"a\": 1,}", "INVALID_JSON", &json("not a key in quotes at line 2, column 9"));
    check_error("{} x", "INVALID_JSON", &json("not the end of the body at line 1, column 4"));
    check_error("{\"a\":[1}", "INVALID_JSON", &json("not `,` or `]` at line 1, column 8"));
    check_error(
        "{\"a\":\"\t\"}",
        "INVALID_JSON",
        &json("a control character in a string at line 1, column 7"),
    );
    check_error("[1]", "INVALID_FIELD", "read the body: it must be a JSON object");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
    check_error(&deep, "INVALID_JSON", &json("containers nested too deep at line 1, column 132"));
}

#[test]
fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
    let mut body = format!("{{\"a\":\"{}", "é".repeat(40)).into_bytes();
    body.extend_from_slice(b"\xff\"}");
    assert_eq!(keys(&body).unwrap_err().code().id, "INVALID_JSON");
    assert!(keys("{\"é\":\"日本\"}".as_bytes()).is_ok());
}

/// JSON-like text: fragments that are often, but not always, well-formed together.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(&[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u0041\\n\"",
        "\"\\x\"",
        "1",
        "-0.5e+3",
        "01",
        "1.",
        "true",
        "null",
        "nul",
        " ",
        "\"long text that fills more than one block of the scanner\"",
        "\"",
        "\\",
    ]);
    prop::collection::vec(piece, 0..14)
        .prop_map(|pieces| format!("{{\"k\":{}}}", pieces.concat()).into_bytes())
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_serde_json(body in fragments()) {
        let ours = keys(&body).is_ok();
        let theirs = serde_json::from_slice::<Value>(&body).is_ok_and(|v| v.is_object());
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn escapes_are_judged_like_serde_json(
        before in 0_usize..70,
        text in prop::collection::vec(
            prop::sample::select(&["a", "\\", "\\n", "\\\\", "\\\"", "\\u00e9", "\\u0e", "\"", "\t", "b"]),
            0..90,
        ),
    ) {
        let body = format!("{}{{\"k\":\"{}\"}}", " ".repeat(before), text.concat()).into_bytes();
        let theirs = serde_json::from_slice::<Value>(&body).is_ok();
        prop_assert_eq!(keys(&body).is_ok(), theirs, "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn sound_escapes_are_accepted_wherever_blocks_end(
        before in 0_usize..70,
        text in prop::collection::vec(
            prop::sample::select(&["a", "\\n", "\\\\", "\\\"", "\\u00e9", "\\/", "some plain text"]),
            0..90,
        ),
    ) {
        let value = format!("\"{}\"", text.concat());
        let body = format!("{}{{\"k\":{value}}}", " ".repeat(before)).into_bytes();
        prop_assert_eq!(keys(&body).unwrap(), vec![("k".to_owned(), value)]);
    }

    #[test]
    fn any_damage_to_a_body_is_judged_like_serde_json(at in 0_usize..120, byte in 0x20_u8..0x7f) {
        let mut body = br#"{"model":"gpt","messages":[{"role":"user","content":"hi \"x\" \u00e9"}],"n":-1.5e3,"t":[true,null,{}]}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        let theirs = serde_json::from_slice::<Value>(&body).is_ok();
        prop_assert_eq!(keys(&body).is_ok(), theirs, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_string_that_begins_with_a_mark_is_noticed_wherever_it_stands() {
    let has_mark = |body: &str| members(body.as_bytes(), |_, _| Ok(())).unwrap().has_mark;
    assert!(has_mark(r#"{"a":[{"b":"mainstay:x"}]}"#) && has_mark(r#"{"mainstay:":1}"#));
    assert!(!has_mark(r#"{"a":"the mainstay: x","b":"mainstay"}"#) && !has_mark(r#"{"a":"\"mainstay:"}"#));
}

#[test]
fn a_control_character_beside_a_string_is_space_and_inside_it_a_fault() {
    let long = "x".repeat(200);
    assert!(keys(format!("{{\n\t\"a\":\t\"{long}\"\n}}").as_bytes()).is_ok());
    for at in 0..=long.len() {
        let (before, after) = long.split_at(at);
        let body = format!("{{\"a\":\"{before}\n{after}\"}}");
        let message =
            format!("parse the body as JSON: a control character in a string at line 1, column {}", 7 + at);
        check_error(&body, "INVALID_JSON", &message);
    }
}
