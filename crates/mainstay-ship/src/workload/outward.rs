//! The ports that a service calls others on: those in the addresses that its settings and its variables hold, and those
//! of the servers it needs.

use std::collections::BTreeSet;

use mainstay_core::Plan;
use mainstay_core::component::SettingValue;
use mainstay_core::plan::EnvValue;
use serde_json::Value;

use crate::services::Service;

/// Where vendors of models and everything else on the public network is.
const HTTPS: u16 = 443;

pub(super) fn ports(plan: &Plan, services: &[&Service]) -> Vec<u16> {
    let mut ports = BTreeSet::from([HTTPS]);
    ports.extend(services.iter().filter(|service| !service.watches).map(|service| service.port));
    for member in plan.providers.values().chain(plan.tools.values()) {
        within(&member.settings, &mut ports);
    }
    let elsewhere = plan.processes().filter(|(_, process)| process.command.is_none());
    ports.extend(elsewhere.filter_map(|(_, process)| of_text(&process.url)));
    for setting in plan.resources.components.iter().flat_map(|component| &component.settings) {
        if let SettingValue::Text(text) = &setting.value {
            ports.extend(text.split(',').filter_map(of_text));
        }
    }
    let endpoints = plan.resources.http_endpoints.iter();
    ports.extend(endpoints.filter_map(|endpoint| of_text(&endpoint.base_url)));
    // An app finds its database or its collector by a variable. One chart serves every environment, so each counts.
    let variables = plan.deploy.environments.values().flat_map(|sizing| sizing.variables.values());
    ports.extend(variables.filter_map(|value| match value {
        EnvValue::Plain(text) if names_a_host(text) => of_text(text),
        EnvValue::Plain(_) | EnvValue::Secret(_) => None,
    }));
    ports.into_iter().collect()
}

/// Whether a variable's value may be an address; `22:22` is none.
fn names_a_host(text: &str) -> bool {
    text.contains("://") || text.split(':').next().is_some_and(|host| host.contains(char::is_alphabetic))
}

fn within(settings: &Value, ports: &mut BTreeSet<u16>) {
    match settings {
        Value::String(text) => ports.extend(of_text(text)),
        Value::Array(items) => items.iter().for_each(|item| within(item, ports)),
        Value::Object(fields) => fields.values().for_each(|value| within(value, ports)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The port of an address: `scheme://host[:port]/…` or `host:port`. Not that of something on the same machine.
fn of_text(text: &str) -> Option<u16> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let named = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':'));
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if !named || here {
        return None;
    }
    match (scheme, port) {
        (_, Some(port)) => Some(port).filter(|port| *port > 0),
        (Some("http" | "ws"), None) => Some(80),
        (Some("https" | "wss"), None) => Some(HTTPS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::Environment;

    use super::*;

    #[test]
    fn addresses_in_variables_of_any_environment_are_let_out_and_times_are_not() {
        let mut deploy = crate::fixture::deploy();
        for (environment, name, value) in [
            (Environment::Dev, "OTLP", "http://collector:4317"),
            (Environment::Prod, "DATABASE_HOST", "db.internal:5432"),
            (Environment::Prod, "OPENS", "22:22"),
            (Environment::Prod, "MODE", "production"),
        ] {
            let sizing = deploy.environments.entry(environment).or_insert_with(|| environment.sizing());
            sizing.variables.insert(name.to_owned(), EnvValue::Plain(value.to_owned()));
        }
        assert_eq!(ports(&crate::fixture::plan(deploy), &[]), [443, 4317, 5432]);
    }

    #[test]
    fn the_port_of_an_address_is_found() {
        for (text, expect) in [
            ("https://api.example.com/v1", Some(443)),
            ("http://ollama:11434/v1", Some(11434)),
            ("http://intern", Some(80)),
            ("redis:6379", Some(6379)),
            ("amqp://user:pass@mq:5672/", Some(5672)),
            ("https://[2001:db8::1]:8443/", Some(8443)),
            ("http://127.0.0.1:8000", None),
            ("localhost:6379", None),
            ("env:OPENAI_API_KEY", None),
            ("a text: with words", None),
            ("5s", None),
        ] {
            assert_eq!(of_text(text), expect, "{text}");
        }
    }
}
