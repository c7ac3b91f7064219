//! What the kinds make of their settings.

use serde_json::json;

use super::*;

/// The faults of settings, as code and place.
fn check(kind: &str, settings: Value, wanted: &[(&str, &str)]) {
    let def = find(kind).unwrap();
    let faults = (def.kind.check)(&settings);
    let found: Vec<_> = faults.iter().map(|fault| (fault.code.id, fault.pointer.as_str())).collect();
    assert_eq!(found, wanted, "{kind}: {settings}");
}

#[test]
fn every_setting_of_every_kind_is_documented() {
    for def in ALL {
        let schema = (def.kind.schema)();
        assert_eq!(
            schema["additionalProperties"], false,
            "{}: an unknown key must be a fault",
            def.kind.kind
        );
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}: `{name}` is not documented", def.kind.kind);
        }
    }
}

#[test]
fn a_key_in_the_spec_is_a_fault_that_does_not_repeat_it() {
    for kind in ["openai", "anthropic", "gemini"] {
        check(kind, json!({"api_key": "env:KEY"}), &[]);
        check(kind, json!({"api_key": "sk-123"}), &[("CONFIG_SECRET_LITERAL", "/api_key")]);
        let faults = (find(kind).unwrap().kind.check)(&json!({"api_key": "sk-123"}));
        assert!(!format!("{faults:?}").contains("sk-123"));
    }
}

#[test]
fn addresses_and_headers_that_cannot_be_used_are_faults() {
    for kind in ["openai", "anthropic", "gemini"] {
        check(kind, json!({"base_url": "http://127.0.0.1:1/v1/"}), &[]);
        for bad in ["", "localhost:80", "ftp://x/", "https:///v1", "https://x/v1?key=1"] {
            check(kind, json!({"base_url": bad}), &[("CONFIG_VALUE", "/base_url")]);
        }
        check(kind, json!({"headers": {"x/y ~z": "1"}}), &[("CONFIG_VALUE", "/headers/x~1y ~0z")]);
        check(kind, json!({"headers": {"x": "line\nend"}}), &[("CONFIG_VALUE", "/headers/x")]);
    }
}

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn resolve(&self, _: &SecretRef) -> Result<Redacted<String>> {
        Err(Error::new(&codes::SECRET_UNAVAILABLE, "there is none"))
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_known_before_the_first_call() {
    for kind in ["openai", "anthropic", "gemini"] {
        let opening = Opening {
            name: &Name::parse("p").unwrap(),
            settings: &json!({"api_key": "env:KEY"}),
            folder: Path::new("."),
            models_folder: Path::new("."),
            secrets: &NoSecrets,
            client: &Client::new(mainstay_net::client::ClientOptions::default()),
        };
        let Err(error) = (find(kind).unwrap().open)(opening) else { panic!("{kind} opened without its key") };
        assert_eq!(error.code().id, "SECRET_UNAVAILABLE");
    }
}
