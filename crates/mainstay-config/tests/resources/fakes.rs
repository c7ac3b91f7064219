//! Types of component for tests, shaped like the real ones.

use mainstay_config::resources::{File, Loaded, SettingName, Surroundings, TypeDef, Types, load};
use mainstay_core::component::{Component, SettingValue};
use mainstay_core::{Fault, codes};

const fn setting(name: &str, required: bool, secret: bool) -> SettingName<'_> {
    SettingName { name, required, secret }
}

const TYPES: [TypeDef<'static>; 5] = [
    TypeDef {
        kind: "state.redis",
        aliases: &[],
        versions: &["v1"],
        settings: &[
            setting("redisHost", true, false),
            setting("redisPassword", false, true),
            setting("redisUsername", false, false),
            setting("processingTimeout", false, false),
            setting("options", false, true),
        ],
    },
    TypeDef {
        kind: "state.postgresql",
        aliases: &["state.postgres"],
        versions: &["v2", "v1"],
        settings: &[],
    },
    TypeDef { kind: "pubsub.kafka", aliases: &[], versions: &["v1"], settings: &[] },
    TypeDef { kind: "secretstores.local.file", aliases: &[], versions: &["v1"], settings: &[] },
    TypeDef { kind: "bindings.cron", aliases: &[], versions: &["v1"], settings: &[] },
];

/// Wants a host with a port, and knows no host `nowhere`.
fn check(kind: &str, settings: &[(&str, Option<&str>)], _: Option<&[String]>) -> Vec<Fault> {
    let value = |name: &str| {
        settings.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).and_then(|(_, v)| *v)
    };
    let fault = |pointer: &str, message: &str| Fault {
        code: &codes::CONFIG_VALUE,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        help: None,
    };
    let mut found = Vec::new();
    if kind == "state.redis" && value("redisHost").is_some_and(|host| !host.contains(':')) {
        found.push(fault("redisHost", "`redisHost` must be a host and a port"));
    }
    if value("processingTimeout").is_some_and(|time| time.parse::<u32>().is_err()) {
        found.push(fault("processingTimeout", "`processingTimeout` must be a number of seconds"));
    }
    if value("options").is_some() {
        found.push(fault("options", "`options` are not for this type"));
    }
    found
}

fn variables(name: &str) -> Option<String> {
    match name {
        "COLLECTOR" => Some("collector:4317".to_owned()),
        "TRACING" => Some("true".to_owned()),
        _ => None,
    }
}

/// Loads files with the fake types.
pub(crate) fn load_files(files: &[(&str, &str)]) -> Loaded {
    let files: Vec<File<'_>> = files.iter().map(|(name, text)| File { name, text }).collect();
    let types = Types { types: &TYPES, check: &check };
    load(&files, &Surroundings { types: Some(types), variables: &variables, models: None })
}

/// Loads a file of any types that must have neither faults nor warnings.
pub(crate) fn load_good(text: &str) -> Loaded {
    let loaded = load(
        &[File { name: "good.yaml", text }],
        &Surroundings { types: None, variables: &variables, models: None },
    );
    assert_eq!(said(&loaded), "", "the file is good");
    loaded
}

/// The component of a file that has one.
pub(crate) fn component(text: &str) -> Component {
    let mut components = load_good(text).resources.components;
    assert_eq!(components.len(), 1);
    components.remove(0)
}

/// A setting's text.
pub(crate) fn text<'c>(component: &'c Component, name: &str) -> &'c str {
    let setting = component.settings.iter().find(|setting| setting.name == name);
    match setting.map(|setting| &setting.value) {
        Some(SettingValue::Text(text)) => text,
        other => panic!("{name} is {other:?}"),
    }
}

/// All that is said of files: faults, then warnings.
pub(crate) fn said(loaded: &Loaded) -> String {
    loaded.faults.iter().chain(&loaded.warnings).map(|found| found.render(false)).collect()
}

/// Owned texts.
pub(crate) fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
