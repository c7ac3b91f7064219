//! What a spec refers to outside itself: models and files of this machine, and secrets. It finds what is not there;
//! whether that matters is for others to say.

use mainstay_components::secrets::{Secrets, references};
use mainstay_core::plan::{EnvValue, Member};
use mainstay_core::secret::SecretSource as _;
use mainstay_core::{Error, Fault, Name, Plan, SecretRef, codes};
use serde_json::Value;

/// Models and files that providers name and that are not on this machine.
pub(crate) fn models_and_files(plan: &Plan) -> Vec<Fault> {
    plan.providers.iter().flat_map(|(name, member)| of_provider(plan, name, member)).collect()
}

fn of_provider(plan: &Plan, name: &Name, member: &Member) -> Vec<Fault> {
    let Some(def) = mainstay_providers::providers::find(&member.kind) else { return Vec::new() };
    let base = format!("/providers/{name}/{}", member.kind);
    let files = (def.files)(&member.settings).into_iter();
    let files = files.filter(|file| !plan.folder.join(file).exists()).map(|file| Fault {
        code: &codes::CONFIG_FILE,
        pointer: format!("{base}/{}", key_of(&member.settings, &file)),
        message: format!("there is no file `{file}`"),
        help: Some("the path is relative to the spec's folder".to_owned()),
    });
    let models = (def.library_models)(&member.settings).into_iter();
    let models = models.filter_map(|model| {
        let help = unknown_model(&model)?;
        let message = format!("there is no model `{model}`, here or to be fetched");
        let pointer = format!("{base}/{}", key_of(&member.settings, &model));
        Some(Fault { code: &codes::CONFIG_REFERENCE, pointer, message, help: Some(help) })
    });
    files.chain(models).collect()
}

/// Providers that run a model of the library inside the process, and the model.
pub(crate) fn library_models(plan: &Plan) -> Vec<(String, String)> {
    let of = |(name, member): (&Name, &Member)| {
        let models = mainstay_providers::providers::find(&member.kind)
            .map_or_else(Vec::new, |def| (def.library_models)(&member.settings));
        models.into_iter().map(|model| (name.to_string(), model)).collect::<Vec<_>>()
    };
    plan.providers.iter().flat_map(of).collect()
}

/// The key of the setting with this value.
fn key_of<'s>(settings: &'s Value, value: &str) -> &'s str {
    let keys = settings.as_object().into_iter().flatten();
    keys.into_iter().find(|(_, given)| *given == value).map_or("", |(key, _)| key.as_str())
}

/// What to do about a model that is neither here nor in the catalogue.
#[cfg(feature = "local")]
fn unknown_model(model: &str) -> Option<String> {
    let library = mainstay_local::library::Library::new(crate::environment::models_folder());
    let listed = library.list().ok()?;
    let known: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
    (!known.contains(&model)).then(|| mainstay_config::nearest_help(model, known).unwrap_or_default())
}

/// A build without local models knows none.
#[cfg(not(feature = "local"))]
fn unknown_model(_: &str) -> Option<String> {
    None
}

/// Secrets that cannot be read.
pub(crate) fn secrets(plan: &Plan) -> Vec<Fault> {
    let source = Secrets::new(&plan.folder);
    let missing = |(pointer, reference): (String, SecretRef)| {
        let error = source.resolve(&reference).err()?;
        let (message, help) = (error.message().to_owned(), error.help().map(str::to_owned));
        Some(Fault { code: error.code(), pointer, message, help })
    };
    named(plan).into_iter().filter_map(missing).collect()
}

/// An error that names all secrets that are missing, where `error` is about the first of them.
pub(crate) fn all_missing(error: anyhow::Error, plan: &Plan) -> anyhow::Error {
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    if ours.is_none_or(|ours| ours.code() != &codes::SECRET_UNAVAILABLE) {
        return error;
    }
    let missing = secrets(plan);
    if missing.len() < 2 {
        return error;
    }
    let each: Vec<String> =
        missing.iter().map(|fault| format!("{} ({})", fault.message, fault.pointer)).collect();
    let message = format!("{} secrets cannot be read: {}", missing.len(), each.join("; "));
    Error::new(&codes::SECRET_UNAVAILABLE, message)
        .with_help("`mainstay check --env` shows where each of them is needed")
        .into()
}

/// The references of a plan.
pub(crate) fn references_of(plan: &Plan) -> Vec<SecretRef> {
    named(plan).into_iter().map(|(_, reference)| reference).collect()
}

/// The references of a plan, and where they stand.
fn named(plan: &Plan) -> Vec<(String, SecretRef)> {
    let mut found = Vec::new();
    for (n, key) in plan.access.keys.iter().enumerate() {
        found.push((format!("/access/keys/{n}/key"), key.secret.clone()));
    }
    for (section, members) in [("providers", &plan.providers), ("tools", &plan.tools)] {
        for (name, member) in members {
            within(&member.settings, &format!("/{section}/{name}/{}", member.kind), &mut found);
        }
    }
    for (name, process) in plan.processes() {
        let place = if plan.apps.contains_key(name) {
            format!("/apps/{name}")
        } else {
            format!("/agents/{name}/app")
        };
        for (variable, value) in &process.env {
            if let EnvValue::Secret(reference) = value {
                found.push((format!("{place}/env/{variable}"), reference.clone()));
            }
        }
    }
    found
}

fn within(settings: &Value, pointer: &str, found: &mut Vec<(String, SecretRef)>) {
    match settings {
        Value::String(text) => found.extend(references(text).map(|one| (pointer.to_owned(), one))),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| within(item, &format!("{pointer}/{n}"), found));
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                within(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
