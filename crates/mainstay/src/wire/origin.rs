//! What an open member was opened from: its settings, and what those refer to. A member stays open over a reload while
//! none of it has changed. It opens nothing itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::secret::SecretSource;
use mainstay_core::{Redacted, Result, SecretRef};

use crate::stamp::Stamp;

/// What a member was opened from.
pub(super) struct Origin<S> {
    settings: S,
    /// The secrets that were read, as they were.
    secrets: Vec<(SecretRef, Redacted<String>)>,
    files: Vec<Stamp>,
}

/// An open member and its origin.
pub(super) type Open<S, T> = (Origin<S>, Arc<T>);

impl<S: PartialEq> Origin<S> {
    /// Whether opening a member with these settings would read the same again. A secret that cannot be read any more is
    /// not the same: opening tells why.
    fn holds(&self, settings: &S, secrets: &dyn SecretSource) -> bool {
        let same = |(reference, then): &(SecretRef, Redacted<String>)| {
            secrets.resolve(reference).is_ok_and(|now| now == *then)
        };
        self.settings == *settings && self.files.iter().all(Stamp::holds) && self.secrets.iter().all(same)
    }
}

/// The member that is open, if its origin still holds, or a new one. `files` are those that it is read from.
/// Errors: those of `open`.
pub(super) fn keep_or_open<S: Clone + PartialEq, T: ?Sized>(
    before: Option<&Open<S, T>>,
    settings: &S,
    files: impl IntoIterator<Item = PathBuf>,
    secrets: &dyn SecretSource,
    open: impl FnOnce(&dyn SecretSource) -> anyhow::Result<Arc<T>>,
) -> anyhow::Result<Open<S, T>> {
    if let Some((origin, member)) = before.filter(|(origin, _)| origin.holds(settings, secrets)) {
        let (secrets, files) = (origin.secrets.clone(), origin.files.clone());
        return Ok((Origin { settings: settings.clone(), secrets, files }, Arc::clone(member)));
    }
    // Before they are read: a change meanwhile is then found by the next reload.
    let files = files.into_iter().map(Stamp::of).collect();
    let noting = Noting { secrets, read: Mutex::default() };
    let member = open(&noting)?;
    let secrets = noting.read.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((Origin { settings: settings.clone(), secrets, files }, member))
}

/// The sources of secrets, noting what is read.
struct Noting<'a> {
    secrets: &'a dyn SecretSource,
    read: Mutex<Vec<(SecretRef, Redacted<String>)>>,
}

impl SecretSource for Noting<'_> {
    fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
        let secret = self.secrets.resolve(reference)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.push((reference.clone(), secret.clone()));
        Ok(secret)
    }
}
