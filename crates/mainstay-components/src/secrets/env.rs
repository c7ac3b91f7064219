//! `env:NAME`: a variable of Mainstay's own environment. It does not read `.env` files.

use std::collections::BTreeSet;
use std::env::VarError;
use std::path::Path;

use mainstay_core::SecretRef;
use serde_json::Value;

use super::{Def, Missing, references};

/// The source `env`.
pub const DEF: Def = Def { source: "env", about: "A variable of Mainstay's environment.", read };

/// The variables that settings refer to: by a text that is a reference as a whole, or by `${env:NAME}` within one.
#[must_use]
pub fn variables_in(settings: &Value) -> BTreeSet<String> {
    match settings {
        Value::String(text) => references(text).filter_map(|found| variable(&found)).collect(),
        Value::Array(items) => items.iter().flat_map(variables_in).collect(),
        Value::Object(fields) => fields.values().flat_map(variables_in).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
    }
}

/// The variable that a reference names, if it is one to this source.
#[must_use]
pub fn variable(reference: &SecretRef) -> Option<String> {
    (reference.source == DEF.source).then(|| reference.locator.clone())
}

fn read(_: &Path, name: &str) -> Result<String, Missing> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => Missing {
            why: "is not set in the environment".to_owned(),
            help: format!("set `{name}` before Mainstay starts, e.g. `export {name}=…`"),
        },
        VarError::NotUnicode(_) => Missing {
            why: "is not UTF-8 text".to_owned(),
            help: format!("set `{name}` to text before Mainstay starts"),
        },
    })
}
