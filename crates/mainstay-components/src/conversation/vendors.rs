//! The endpoints of model vendors, under Dapr's names for their settings. They differ in the provider that speaks their
//! dialect, in where they are, and in the model that is meant where none is named.
//! <https://docs.dapr.io/reference/components-reference/supported-conversation/>

use std::sync::Arc;

use mainstay_core::{Fault, Redacted};
use serde_json::json;

use super::{Def, Endpoint, Vendor};
use crate::def::SettingDef;
use crate::settings::{Settings, fault};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const KEY: SettingDef = SettingDef { name: "key", about: "The API key.", required: true, secret: true };
const MODEL: SettingDef = setting("model", "The model's name; a small one of the vendor's by default.");
const ENDPOINT: SettingDef = setting("endpoint", "The address of the API, where it is not the vendor's own.");
const MAX_TOKENS: SettingDef =
    setting("maxTokens", "Most tokens of an answer, where a request does not say; no bound by default.");
const SETTINGS: &[SettingDef] = &[KEY, MODEL, ENDPOINT, MAX_TOKENS];

/// One vendor.
struct House {
    provider: &'static str,
    base_url: &'static str,
    /// What stands behind an address that a setting names.
    suffix: &'static str,
    model: &'static str,
    needs_key: bool,
}

const OPENAI_HOUSE: House = House {
    provider: "openai",
    base_url: "https://api.openai.com/v1",
    suffix: "",
    model: "gpt-5-nano",
    needs_key: true,
};
const ANTHROPIC_HOUSE: House = House {
    provider: "anthropic",
    base_url: "https://api.anthropic.com",
    suffix: "",
    model: "claude-sonnet-4-20250514",
    needs_key: true,
};
const GOOGLEAI_HOUSE: House = House {
    provider: "gemini",
    base_url: "https://generativelanguage.googleapis.com/v1beta",
    suffix: "",
    model: "gemini-2.5-flash-lite",
    needs_key: true,
};
const OLLAMA_HOUSE: House = House {
    provider: "openai",
    base_url: "http://localhost:11434/v1",
    suffix: "/v1",
    model: "llama3.2:latest",
    needs_key: false,
};
const MISTRAL_HOUSE: House = House {
    provider: "openai",
    base_url: "https://api.mistral.ai/v1",
    suffix: "",
    model: "open-mistral-7b",
    needs_key: true,
};
const DEEPSEEK_HOUSE: House = House {
    provider: "openai",
    base_url: "https://api.deepseek.com",
    suffix: "",
    model: "deepseek-chat",
    needs_key: true,
};

macro_rules! types {
    ($($(#[$about:meta])* $name:ident, $house:ident, $kind:literal, $what:literal, $settings:expr;)*) => {
        $(
            $(#[$about])*
            pub const $name: Def = Def {
                kind: $kind,
                aliases: &[],
                versions: &["v1"],
                about: $what,
                settings: $settings,
                check: |settings| parse(settings, &$house).1,
                open: |opening| {
                    let (vendor, _) = parse(opening.settings, &$house);
                    Box::pin(async move { Ok(Arc::new(Endpoint::Vendor(vendor))) })
                },
            };
        )*
    };
}

types! {
    /// OpenAI, Azure OpenAI, and whatever has its API.
    OPENAI, OPENAI_HOUSE, "conversation.openai", "OpenAI, Azure OpenAI, or a server with the same API.", &[
        KEY, MODEL, ENDPOINT, MAX_TOKENS,
        setting("apiType", "`openai` (default), or `azure`: then `endpoint` is the resource and `model` the deployment."),
        setting("apiVersion", "The version of Azure's API; required with `apiType` `azure`."),
    ];
    /// Anthropic.
    ANTHROPIC, ANTHROPIC_HOUSE, "conversation.anthropic", "Anthropic.", SETTINGS;
    /// Google AI.
    GOOGLEAI, GOOGLEAI_HOUSE, "conversation.googleai", "Google AI (Gemini).", SETTINGS;
    /// Ollama.
    OLLAMA, OLLAMA_HOUSE, "conversation.ollama", "Ollama, on this host by default.", &[
        SettingDef { required: false, ..KEY }, MODEL, ENDPOINT, MAX_TOKENS,
    ];
    /// Mistral.
    MISTRAL, MISTRAL_HOUSE, "conversation.mistral", "Mistral.", SETTINGS;
    /// DeepSeek.
    DEEPSEEK, DEEPSEEK_HOUSE, "conversation.deepseek", "DeepSeek.", SETTINGS;
}

fn parse(settings: &Settings, house: &House) -> (Vendor, Vec<Fault>) {
    let mut faults = Vec::new();
    if house.needs_key {
        settings.require(&["key"], &mut faults);
    }
    let max_tokens = settings.number::<u32>("maxTokens", &mut faults).filter(|count| *count > 0);
    let key = settings.text("key").map(|key| Redacted::new(key.to_owned()));
    let url = |text: &str| {
        let sound = text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some());
        sound.then(|| text.trim_end_matches('/').to_owned())
    };
    let endpoint = settings.read("endpoint", "a URL", url, &mut faults);
    let model = settings.text("model").unwrap_or(house.model).to_owned();
    let kind = |text: &str| match text.to_ascii_lowercase().as_str() {
        "openai" => Some(false),
        "azure" => Some(true),
        _ => None,
    };
    let azure = settings.read("apiType", "`openai` or `azure`", kind, &mut faults).unwrap_or_default();
    if azure {
        settings.require(&["endpoint"], &mut faults);
        settings.require(&["apiVersion"], &mut faults);
        settings.require(&["model"], &mut faults);
        let version = settings.text("apiVersion").unwrap_or_default();
        if !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            faults.push(fault(
                "apiVersion",
                "`apiVersion` must be a version such as `2025-01-01`".to_owned(),
                None,
            ));
        }
        let base = format!(
            "{}/openai/deployments/{model}?api-version={version}",
            endpoint.as_deref().unwrap_or_default()
        );
        let header = key.as_ref().map(|key| key.expose().clone()).unwrap_or_default();
        let settings = json!({"base_url": base, "headers": {"api-key": header}, "legacy_max_tokens": false});
        return (Vendor { provider: house.provider, settings, key: None, model, max_tokens }, faults);
    }
    let base = match endpoint {
        // One that names the API already is taken at its word.
        Some(endpoint) if endpoint.ends_with("/v1") => endpoint,
        Some(endpoint) => endpoint + house.suffix,
        None => house.base_url.to_owned(),
    };
    let mut own = json!({"base_url": base});
    if key.is_some() {
        own["api_key"] = Vendor::KEY.into();
    }
    (Vendor { provider: house.provider, settings: own, key, model, max_tokens }, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))))
    }

    #[test]
    fn an_endpoint_is_the_vendors_own_unless_a_setting_names_another() {
        let check = |house: &House, pairs: &[(&str, &str)], url: &str, model: &str| {
            let (vendor, faults) = parse(&settings(pairs), house);
            let found = (vendor.settings["base_url"].as_str().unwrap(), vendor.model.as_str(), faults.len());
            assert_eq!(found, (url, model, 0));
        };
        check(&OPENAI_HOUSE, &[("key", "k")], "https://api.openai.com/v1", "gpt-5-nano");
        let own = [("key", "k"), ("endpoint", "http://h:1/v1/"), ("model", "m")];
        check(&OPENAI_HOUSE, &own, "http://h:1/v1", "m");
        check(&OLLAMA_HOUSE, &[], "http://localhost:11434/v1", "llama3.2:latest");
        check(&OLLAMA_HOUSE, &[("endpoint", "http://h:1")], "http://h:1/v1", "llama3.2:latest");
        let azure = [
            ("key", "k"),
            ("apiType", "azure"),
            ("apiVersion", "2025-01-01"),
            ("endpoint", "https://r"),
            ("model", "d"),
        ];
        check(&OPENAI_HOUSE, &azure, "https://r/openai/deployments/d?api-version=2025-01-01", "d");
    }

    #[test]
    fn what_is_missing_or_odd_is_a_fault() {
        let check = |pairs: &[(&str, &str)], expect: &[&str]| {
            let faults = parse(&settings(pairs), &OPENAI_HOUSE).1;
            assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), expect);
        };
        check(&[], &["key"]);
        check(&[("key", "k"), ("endpoint", "nowhere"), ("apiType", "x")], &["endpoint", "apiType"]);
        check(&[("key", "k"), ("apiType", "azure")], &["endpoint", "apiVersion", "model"]);
    }
}
