//! The schema and the reference page: complete, and saying the same as the check.

use mainstay_config::{Kinds, lint, reference, schema};
use mainstay_core::{KindDef, codes};
use serde_json::{Value, json};

use crate::fakes::{KINDS, PROVIDERS, load};

/// Every key of every section, with its schema.
fn keys(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut queue = vec![schema.clone()];
    while let Some(next) = queue.pop() {
        match next {
            Value::Object(map) => {
                for (keyword, value) in map {
                    if keyword == "properties" {
                        found.extend(
                            value.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())),
                        );
                    }
                    queue.push(value);
                }
            }
            Value::Array(list) => queue.extend(list),
            _ => {}
        }
    }
    found
}

#[test]
fn the_schema_has_nothing_that_the_check_does_not_know() {
    assert_eq!(lint(&KINDS), Vec::<String>::new());
}

#[test]
fn the_lint_finds_what_it_is_for() {
    fn bad() -> Value {
        json!({
            "type": "object",
            "properties": {
                "a": { "type": "string" },
                "b": { "type": "string", "description": "B.", "contentEncoding": "base64" },
                "c": { "type": "string", "description": "C.", "format": "ipv4" },
                "d": { "type": "string", "description": "D.", "pattern": "(" },
                "e": { "$ref": "#/$defs/Nowhere", "description": "E." },
            },
        })
    }
    let kind = KindDef { kind: "bad", about: "Bad.", schema: bad, check: PROVIDERS[1].check };
    let found = lint(&Kinds { providers: &[kind], ..KINDS });
    let expected = [
        "format `ipv4` is not checked (at: C.)",
        "key `a` has no description (at: Bad.)",
        "keyword `contentEncoding` is not checked (at: B.)",
        "pattern `(` does not compile (at: D.)",
        "reference `#/$defs/Nowhere` leads nowhere (at: E.)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_key_is_on_the_page_with_a_description() {
    let (schema, page) = (schema(&KINDS), reference(&KINDS));
    let keys = keys(&schema);
    assert!(keys.len() > 60, "only {} keys", keys.len());
    for (key, property) in keys {
        assert!(
            page.contains(&format!("`{key}`")) || page.contains(&format!(".{key}`")),
            "{key} is not on the page"
        );
        // The branch of a union carries its description itself.
        let described = property["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(described || key == "enqueue" || key == "cut" || key == "slow", "{key} has no description");
    }
}

#[test]
fn the_page_is_as_its_golden_says() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/reference.md");
    let page = reference(&KINDS);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&golden, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&golden).unwrap_or_default() == page, "{page}");
}

#[test]
fn the_schema_is_valid_and_deterministic() {
    let first = schema(&KINDS);
    assert!(jsonschema::draft202012::meta::is_valid(&first));
    assert_eq!(first["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(first.to_string(), schema(&KINDS).to_string());
}

/// An independent validator and our walk must agree on what fits, for specs without faults of meaning.
#[test]
fn another_validator_agrees_on_what_fits() {
    let validator = jsonschema::draft202012::new(&schema(&KINDS)).unwrap();
    let check = |spec: Value, fits: bool| {
        assert_eq!(validator.is_valid(&spec), fits, "the other validator on {spec}");
        assert_eq!(load(&spec.to_string()).is_ok(), fits, "the walk on {spec}");
    };
    let agent = |agent: Value| json!({ "name": "x", "agents": { "a": agent } });
    let provider = |provider: Value| json!({ "name": "x", "providers": { "p": provider } });
    check(json!({ "name": "x" }), true);
    check(json!({}), false);
    check(json!({ "name": "a b" }), false);
    check(json!({ "name": "x", "nmae": 1 }), false);
    check(json!({ "name": "x", "server": { "drain": "30s", "body_bytes_max": 4096 } }), true);
    check(json!({ "name": "x", "server": { "drain": 30 } }), false);
    check(agent(json!({ "declared": {} })), true);
    check(agent(json!({})), false);
    check(agent(json!({ "declared": {}, "app": { "url": "http://a" } })), false);
    check(agent(json!({ "declared": {}, "sessions": "enqueue" })), true);
    check(agent(json!({ "declared": {}, "sessions": { "enqueue": { "waiting_max": 1 } } })), true);
    check(agent(json!({ "declared": {}, "sessions": { "reject": {} } })), false);
    check(agent(json!({ "declared": { "temperature": 3 } })), false);
    check(provider(json!({ "local": {} })), true);
    check(provider(json!({})), false);
    check(provider(json!({ "local": {}, "scripted": {} })), false);
    check(provider(json!({ "openai": { "api_key": "env:K" } })), true);
    check(provider(json!({ "openai": {} })), false);
    check(
        provider(json!({ "scripted": { "replies": [{ "trouble": { "cut": { "after_tokens": 1 } } }] } })),
        true,
    );
    check(provider(json!({ "scripted": { "replies": [{ "trouble": { "cut": {} } }] } })), false);
}

#[test]
fn a_fallback_can_name_every_provider_code() {
    let listed = schema(&KINDS)["$defs"]["Fallback"]["properties"]["on"]["items"]["enum"].clone();
    let codes: Vec<&str> = codes::ALL.iter().map(|c| c.id).filter(|id| id.starts_with("PROVIDER_")).collect();
    assert_eq!(listed, json!(codes));
}
