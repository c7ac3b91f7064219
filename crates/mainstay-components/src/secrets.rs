//! ★ Where secrets come from. To add a source: a file in `secrets/` with a `pub const DEF`, and a line in `ALL`. The
//! source's name is what stands before the colon of a reference.
//!
//! A secret is read when it is asked for and not kept. No error, log line or `Debug` shows a value.

pub mod env;
pub mod file;

use std::path::{Path, PathBuf};

use mainstay_core::error::Retry;
use mainstay_core::secret::SecretSource;
use mainstay_core::{Error, Redacted, Result, SecretRef, codes};

/// Bytes of a secret, at most.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A kind of secret source.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// What stands before the colon of a reference.
    pub source: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Reads the secret at a locator; relative paths start at the folder.
    pub read: fn(&Path, &str) -> std::result::Result<String, Missing>,
}

/// Why there is no secret: a fragment that follows "the secret `env:X` …", without a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is wrong.
    pub why: String,
    /// The next step.
    pub help: String,
}

/// Every source, in the order of the reference page.
pub static ALL: &[Def] = &[env::DEF, file::DEF];

/// The source of this name.
#[must_use]
pub fn find(source: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.source == source)
}

/// The references to known sources that a text of settings holds: as a whole, or as `${SOURCE:…}` within it.
pub fn references(text: &str) -> impl Iterator<Item = SecretRef> {
    let within = text.split("${").skip(1).filter_map(|from| from.split_once('}')).map(|(inside, _)| inside);
    let found = std::iter::once(text).chain(within).filter_map(SecretRef::parse);
    found.filter(|reference| find(&reference.source).is_some())
}

/// The reference's source. Errors: `SECRET_UNAVAILABLE`, naming the nearest known one.
pub(crate) fn known(reference: &SecretRef) -> Result<&'static Def> {
    find(&reference.source).ok_or_else(|| unknown(reference))
}

/// All sources behind the core port.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Sources for a spec in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl SecretSource for Secrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
        let def = known(reference)?;
        let secret = (def.read)(&self.folder, &reference.locator).and_then(fit);
        secret.map(Redacted::new).map_err(|missing| unavailable(reference, missing))
    }
}

fn fit(secret: String) -> std::result::Result<String, Missing> {
    if secret.is_empty() {
        let help = "give it a value where Mainstay runs".to_owned();
        return Err(Missing { why: "is empty".to_owned(), help });
    }
    if secret.len() > SECRET_BYTES_MAX { Err(too_large()) } else { Ok(secret) }
}

fn too_large() -> Missing {
    Missing {
        why: format!("is larger than {SECRET_BYTES_MAX} bytes"),
        help: "refer to the secret alone, not to what holds it".to_owned(),
    }
}

fn unavailable(reference: &SecretRef, missing: Missing) -> Error {
    Error::new(&codes::SECRET_UNAVAILABLE, format!("the secret `{reference}` {}", missing.why))
        .with_help(missing.help)
}

fn unknown(reference: &SecretRef) -> Error {
    let source = reference.source.as_str();
    let near = ALL
        .iter()
        .map(|def| (strsim::damerau_levenshtein(source, def.source), def.source))
        .filter(|(edits, name)| *edits <= (name.len() / 2).max(1))
        .min();
    let known: Vec<String> = ALL.iter().map(|def| format!("`{}:`", def.source)).collect();
    let help = match near {
        Some((_, name)) => format!("did you mean `{name}:{}`?", reference.locator),
        None => format!("there are {}", known.join(", ")),
    };
    Error::new(
        &codes::SECRET_UNAVAILABLE,
        format!("the secret `{reference}` has an unknown source `{source}`"),
    )
    .with_help(help)
    .with_retry(Retry::Permanent)
}

#[cfg(test)]
mod tests;
