//! Each fault with the place it points at.

use serde_json::json;

use super::*;

/// Good settings with some keys replaced.
fn settings(changes: Value) -> Value {
    let mut settings = json!({
        "description": "Reads a ticket.",
        "url": "https://tickets.example/api/{id}?expand={expand}",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "expand": {"type": "string"}, "tags": {"type": "array"}},
            "required": ["id"],
        },
        "headers": {"authorization": "Bearer ${env:TOKEN}", "x-tenant": "acme"},
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    settings.as_object_mut().unwrap().extend(changes);
    settings
}

/// The only fault's code, place and message must be these.
#[track_caller]
fn faulty(changes: Value, code: &str, pointer: &str, message: &str) {
    let faults = check(&settings(changes));
    let [fault] = faults.as_slice() else { panic!("not one fault: {faults:#?}") };
    assert_eq!((fault.code.id, fault.pointer.as_str()), (code, pointer), "{fault:?}");
    assert!(fault.message.contains(message), "{}", fault.message);
}

#[test]
fn good_settings_have_no_fault_and_fit_the_schema() {
    let good = settings(json!({"method": "PATCH", "timeout": "30s", "response_bytes_max": "1MiB"}));
    assert_eq!(check(&good), []);
    let schema = jsonschema::validator_for(&super::super::settings::schema()).unwrap();
    assert!(schema.is_valid(&good));
    assert!(!schema.is_valid(&settings(json!({"timeot": "30s"}))), "an unknown key must be refused");
    assert!(!schema.is_valid(&settings(json!({"timeout": "30"}))), "a duration needs a unit");
}

#[test]
fn a_url_is_checked() {
    faulty(json!({"url": "ftp://h/{id}"}), "CONFIG_VALUE", "/url", "scheme is `ftp`");
    faulty(json!({"url": "https://u:p@h/{id}"}), "CONFIG_SECRET_LITERAL", "/url", "credentials");
    faulty(json!({"url": "https://{id}.example/"}), "CONFIG_VALUE", "/url", "not in host or port");
}

#[test]
fn a_private_host_must_be_allowed() {
    for host in ["localhost:9000", "api.localhost", "127.0.0.1", "[::1]:80", "10.0.0.7", "169.254.169.254"] {
        let url = format!("http://{host}/{{id}}");
        faulty(json!({"url": url}), "CONFIG_VALUE", "/url", "not a public address");
        assert_eq!(check(&settings(json!({"url": url, "allow_private": true}))), [], "{host}");
    }
    assert_eq!(check(&settings(json!({"url": "http://1.1.1.1/{id}"}))), []);
}

#[test]
fn placeholders_are_parameters_of_a_simple_type() {
    faulty(json!({"url": "https://h/{ip}"}), "CONFIG_REFERENCE", "/url", "`{ip}`");
    assert_eq!(
        check(&settings(json!({"url": "https://h/{ip}"})))[0].help.as_deref(),
        Some("did you mean `{id}`?")
    );
    faulty(json!({"url": "https://h/{expand}"}), "CONFIG_VALUE", "/parameters", "does not require");
    faulty(
        json!({"url": "https://h/?t={tags}"}),
        "CONFIG_VALUE",
        "/parameters/properties/tags/type",
        "neither text",
    );
}

#[test]
fn parameters_are_the_schema_of_an_object() {
    let parameters =
        json!({"type": "object", "properties": {"id": {"type": "strin"}, "expand": {}}, "required": ["id"]});
    faulty(
        json!({"parameters": parameters}),
        "CONFIG_VALUE",
        "/parameters/properties/id/type",
        "not valid JSON Schema",
    );
    faulty(json!({"parameters": {}, "url": "https://h/"}), "CONFIG_VALUE", "/parameters", "not of an object");
    let remote = json!({"type": "object", "properties": {"id": {"$ref": "https://h/schema.json"}}});
    let faults = check(&settings(json!({"parameters": remote, "url": "https://h/"})));
    assert_eq!(faults.len(), 1, "a schema elsewhere is not fetched: {faults:?}");
}

#[test]
fn headers_are_named_well_and_hold_no_secret() {
    faulty(json!({"headers": {"a b": "x"}}), "CONFIG_VALUE", "/headers/a b", "not a header's name");
    faulty(json!({"headers": {"host": "x"}}), "CONFIG_VALUE", "/headers/host", "set by Mainstay");
    faulty(json!({"headers": {"x": "${env:}"}}), "CONFIG_VALUE", "/headers/x", "does not hold a reference");
    faulty(json!({"headers": {"x": "${evn:A}"}}), "CONFIG_VALUE", "/headers/x", "unknown source");
    faulty(json!({"headers": {"x": "a\nb"}}), "CONFIG_VALUE", "/headers/x", "control characters");
    let literal = json!({"headers": {"Authorization": "Bearer hunter2"}});
    faulty(literal.clone(), "CONFIG_SECRET_LITERAL", "/headers/Authorization", "carries a credential");
    assert!(!format!("{:?}", check(&settings(literal))).contains("hunter2"), "a secret was shown");
}

#[test]
fn every_fault_is_reported_at_once() {
    let all = json!({"url": "ftp://h/", "parameters": {}, "headers": {"host": "x", "cookie": "y"}});
    assert_eq!(check(&settings(all)).len(), 4);
}
