//! What the schema of an `http` tool cannot say. Pure; every fault at once.

use mainstay_core::{Code, Fault, codes};
use mainstay_net::guard::Addresses;
use serde_json::{Map, Value};

use super::headers::{self, Text};
use super::settings::Settings;
use super::template::{Place, Template};

/// Checks settings that fit the schema; config tells what does not.
pub(super) fn check(settings: &Value) -> Vec<Fault> {
    let Ok(settings) = serde_json::from_value::<Settings>(settings.clone()) else { return Vec::new() };
    let mut faults = Vec::new();
    check_parameters(&settings.parameters, &mut faults);
    match Template::parse(&settings.url) {
        Ok(template) => {
            check_placeholders(&template, &settings.parameters, &mut faults);
            if !settings.allow_private {
                check_host(template.host(), &mut faults);
            }
        }
        Err(why) => {
            let code = if why.contains("credentials") {
                &codes::CONFIG_SECRET_LITERAL
            } else {
                &codes::CONFIG_VALUE
            };
            faults.push(fault(code, "/url", format!("the URL is not usable: {why}"), None));
        }
    }
    settings.headers.iter().for_each(|(name, text)| check_header(name, text, &mut faults));
    faults
}

fn check_parameters(parameters: &Map<String, Value>, faults: &mut Vec<Fault>) {
    if parameters.get("type").and_then(Value::as_str) != Some("object") {
        let message = "the arguments' schema is not of an object".to_owned();
        let help = "begin with `type: object` and name the arguments under `properties`";
        faults.push(fault(&codes::CONFIG_VALUE, "/parameters", message, Some(help)));
    }
    if let Err(error) = jsonschema::draft202012::new(&Value::Object(parameters.clone())) {
        let message = format!("the arguments' schema is not valid JSON Schema: {error}");
        let pointer = format!("/parameters{}", error.instance_path());
        faults.push(Fault { code: &codes::CONFIG_VALUE, pointer, message, help: None });
    }
}

/// A host that is private by its very name would be refused at every call.
pub(in crate::tools) fn check_host(host: &str, faults: &mut Vec<Fault>) {
    let lower = host.to_ascii_lowercase();
    let loopback = lower == "localhost" || lower.ends_with(".localhost");
    if loopback || host.parse().is_ok_and(|address| !Addresses::PublicOnly.allow(address)) {
        let message = format!("`{host}` is not a public address, and the tool may reach no other");
        let help = "write `allow_private: true` if the tool is meant to call it";
        faults.push(fault(&codes::CONFIG_VALUE, "/url", message, Some(help)));
    }
}

fn check_placeholders(template: &Template, parameters: &Map<String, Value>, faults: &mut Vec<Fault>) {
    let properties = parameters.get("properties").and_then(Value::as_object);
    let required = parameters.get("required").and_then(Value::as_array);
    for (name, place) in template.arguments() {
        let Some(property) = properties.and_then(|p| p.get(name)) else {
            let message = format!("the URL wants `{{{name}}}`, which `parameters` does not have");
            let help = near(name, properties);
            faults.push(Fault { code: &codes::CONFIG_REFERENCE, pointer: "/url".to_owned(), message, help });
            continue;
        };
        if place == Place::Path && !required.is_some_and(|list| list.iter().any(|item| item == name)) {
            let message = format!("the URL's path needs `{name}`, which `parameters` does not require");
            let help = format!("add `required: [{name}]` to `parameters`");
            faults.push(fault(&codes::CONFIG_VALUE, "/parameters", message, Some(&help)));
        }
        if matches!(property.get("type").and_then(Value::as_str), Some("array" | "object")) {
            let message = format!("`{name}` stands in the URL but is neither text, a number nor a boolean");
            let pointer = format!("/parameters/properties/{}/type", escape(name));
            faults.push(fault(&codes::CONFIG_VALUE, &pointer, message, None));
        }
    }
}

fn near(name: &str, properties: Option<&Map<String, Value>>) -> Option<String> {
    let known = properties.into_iter().flat_map(Map::keys);
    let nearest = known.map(|key| (strsim::damerau_levenshtein(name, key), key)).min()?;
    Some(match nearest {
        (edits, key) if edits <= (name.len() / 3).max(1) => format!("did you mean `{{{key}}}`?"),
        _ => format!("add `{name}` under `parameters.properties`"),
    })
}

pub(in crate::tools) fn check_header(key: &str, text: &str, faults: &mut Vec<Fault>) {
    let pointer = format!("/headers/{}", escape(key));
    let name = match headers::name(key) {
        Ok(name) => name,
        Err(why) => return faults.push(fault(&codes::CONFIG_VALUE, &pointer, why, None)),
    };
    let parsed = match Text::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let message = format!("the value of `{name}` is not usable: {error}");
            return faults.push(fault(&codes::CONFIG_VALUE, &pointer, message, error.help()));
        }
    };
    if headers::carries_credential(&name) && !parsed.is_secret() {
        let message = format!("`{name}` carries a credential, and the spec holds references, never secrets");
        let help = "write e.g. `\"Bearer ${env:NAME}\"` or `env:NAME`, and replace the credential at its issuer if \
                    it was ever shared";
        faults.push(fault(&codes::CONFIG_SECRET_LITERAL, &pointer, message, Some(help)));
    }
    if text.bytes().any(|b| b.is_ascii_control()) {
        let message = format!("the value of `{name}` has control characters");
        faults.push(fault(&codes::CONFIG_VALUE, &pointer, message, None));
    }
}

pub(in crate::tools) fn fault(
    code: &'static Code,
    pointer: &str,
    message: String,
    help: Option<&str>,
) -> Fault {
    Fault { code, pointer: pointer.to_owned(), message, help: help.map(str::to_owned) }
}

/// RFC 6901, section 3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
