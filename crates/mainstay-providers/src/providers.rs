//! ★ The providers. To add one: a file in `providers/` with a `pub const DEF`, and a line in `ALL`. That line enrols it
//! in the conformance suite, the schema, the reference page and the spec.
//!
//! A file has five parts in order: `//!` (what, tested versions, link), `DEF`, pure `Settings`, the `impl`, the error
//! map.

pub mod anthropic;
pub mod gemini;
#[cfg(feature = "local")]
pub mod local;
pub mod openai;
pub mod scripted;

use std::path::Path;
use std::sync::Arc;

use mainstay_core::provider::Provider;
use mainstay_core::secret::SecretSource;
use mainstay_core::{Error, Fault, KindDef, Name, Redacted, Result, SecretRef, codes};
use mainstay_net::client::Client;
use serde_json::Value;

/// A kind of provider.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Its name, settings and checks.
    pub kind: KindDef,
    /// Opens one. Quick: no network, no large file; what takes long happens at the first call or in the background.
    /// Errors: `SECRET_UNAVAILABLE`.
    pub open: fn(Opening<'_>) -> Result<Arc<dyn Provider>>,
    /// Models of the library that one with these settings needs on this machine.
    pub library_models: fn(&Value) -> Vec<String>,
    /// Files that one with these settings is read from, as the settings say them: relative to the spec.
    pub files: fn(&Value) -> Vec<String>,
}

/// What opening takes.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The provider's name in the spec.
    pub name: &'a Name,
    /// Its settings, checked.
    pub settings: &'a Value,
    /// The spec's folder: relative paths start here.
    pub folder: &'a Path,
    /// Where library models are.
    pub models_folder: &'a Path,
    /// Where secrets come from.
    pub secrets: &'a dyn SecretSource,
    /// The shared client.
    pub client: &'a Client,
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every kind, in the order of the reference page.
pub static ALL: &[Def] = &[
    openai::DEF,
    anthropic::DEF,
    gemini::DEF,
    #[cfg(feature = "local")]
    local::DEF,
    scripted::DEF,
];

/// What stands in for a provider whose model cannot be had, in development.
pub static STAND_IN: &Def = &scripted::DEF;

/// The kind of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.kind.kind == kind)
}

/// For a kind that needs no library model.
#[must_use]
pub fn no_library_models(_: &Value) -> Vec<String> {
    Vec::new()
}

/// For a kind whose settings name no file.
#[must_use]
pub fn no_files(_: &Value) -> Vec<String> {
    Vec::new()
}

/// Reads a key that settings refer to. Errors: `SECRET_UNAVAILABLE`.
fn read_key(secrets: &dyn SecretSource, reference: Option<&str>) -> Result<Option<Redacted<String>>> {
    let Some(text) = reference else { return Ok(None) };
    let reference = SecretRef::parse(text)
        .ok_or_else(|| Error::bug("a secret reference passed the check but does not parse"))?;
    secrets.resolve(&reference).map(Some)
}

/// A fault for settings that hold something else than a reference where a secret is meant. The value is not repeated.
fn secret_fault(pointer: &str, reference: Option<&str>) -> Option<Fault> {
    let text = reference?;
    SecretRef::parse(text).is_none().then(|| Fault {
        code: &codes::CONFIG_SECRET_LITERAL,
        pointer: pointer.to_owned(),
        message: "the value is not a reference to a secret".to_owned(),
        help: Some("put the secret into a variable or a file and write `env:NAME` or `file:PATH`".to_owned()),
    })
}

#[cfg(test)]
mod tests;
