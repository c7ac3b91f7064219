//! What stands in the environment of the container: plain variables, and secrets by reference alone.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::component::SettingValue;
use mainstay_core::plan::{EnvValue, Sizing};
use mainstay_core::{Plan, SecretRef};

use super::{DATA, FOLDER, PORT, Project};

/// A secret that the service reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// From a variable: `variable` holds what the secret's key `key` does.
    Variable {
        /// The variable that the service reads.
        variable: String,
        /// The key in the secret.
        key: String,
    },
    /// From a file.
    File {
        /// The absolute path that the service reads.
        path: String,
        /// The key in the secret.
        key: String,
    },
}

impl Secret {
    /// The key in the secret of the platform.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Variable { key, .. } | Self::File { key, .. } => key,
        }
    }
}

/// The variables and the secrets of a project in an environment.
pub(super) fn of(project: &Project<'_>, sizing: &Sizing) -> (BTreeMap<String, String>, Vec<Secret>) {
    let mut variables = BTreeMap::from([
        ("MAINSTAY_LISTEN".to_owned(), format!("0.0.0.0:{PORT}")),
        ("MAINSTAY_DATA_FOLDER".to_owned(), DATA.to_owned()),
    ]);
    let mut secrets: BTreeSet<Secret> = project.secrets.iter().filter_map(secret).collect();
    for (name, value) in &sizing.variables {
        match value {
            EnvValue::Plain(text) => {
                variables.insert(name.clone(), text.clone());
            }
            EnvValue::Secret(reference) => {
                let key = reference.locator.clone();
                secrets.insert(Secret::Variable { variable: name.clone(), key });
            }
        }
    }
    for variable in of_components(project.plan) {
        secrets.insert(Secret::Variable { key: variable.clone(), variable });
    }
    // A variable that an environment sets is none that is kept secret there.
    let plain = |secret: &Secret| matches!(secret, Secret::Variable { variable, .. } if variables.contains_key(variable));
    secrets.retain(|secret| !plain(secret));
    (variables, secrets.into_iter().collect())
}

fn secret(reference: &SecretRef) -> Option<Secret> {
    let locator = reference.locator.as_str();
    match reference.source.as_str() {
        "env" => Some(Secret::Variable { variable: locator.to_owned(), key: locator.to_owned() }),
        "file" => {
            let path =
                if locator.starts_with('/') { locator.to_owned() } else { format!("{FOLDER}/{locator}") };
            Some(Secret::File { key: key_of(locator), path })
        }
        _ => None,
    }
}

/// What a file is called among a secret's keys, which may hold letters, digits, `-`, `_` and `.`.
pub(super) fn key_of(path: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let clean: String = path.trim_start_matches('/').chars().map(|c| if fits(c) { c } else { '-' }).collect();
    clean.trim_start_matches('.').to_owned()
}

/// Variables that components are configured by.
fn of_components(plan: &Plan) -> BTreeSet<String> {
    let settings = plan.resources.components.iter().flat_map(|component| &component.settings);
    let variable = settings.filter_map(|setting| match &setting.value {
        SettingValue::Env(variable) => Some(variable.clone()),
        SettingValue::Text(_) | SettingValue::Secret { .. } => None,
    });
    variable.collect()
}
