//! Secrets and prompt text: values that must never be printed, and references to where a secret lives.

use std::fmt;

/// A value without `Display` whose `Debug` shows nothing. Read it with [`Redacted::expose`], at the last moment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call site is a place where a secret leaves its wrapper.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a secret lives; the spec holds references, never values.
///
/// Text form: `<source>:<locator>`, e.g. `env:PROVIDER_KEY` or `file:/run/secrets/key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretRef {
    /// The secret source's name, e.g. `env`.
    pub source: String,
    /// What the source looks up, e.g. a variable's name.
    pub locator: String,
}

impl SecretRef {
    /// Parses `<source>:<locator>`; `None` where there is no colon or either side is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (source, locator) = text.split_once(':')?;
        let named = !source.is_empty() && source.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        (named && !locator.is_empty())
            .then(|| Self { source: source.to_owned(), locator: locator.to_owned() })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.locator)
    }
}

/// Looks up secrets. Implemented by the secret sources' registry in ring 2.
pub trait SecretSource: Send + Sync {
    /// Reads the secret now. Errors: `SECRET_UNAVAILABLE`, naming the reference and never the value: the source has
    /// no such secret, cannot be read, or is unknown (permanent then; the help names the nearest known one).
    fn resolve(&self, reference: &SecretRef) -> crate::Result<Redacted<String>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Redacted::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_reference_has_a_source_and_a_locator() {
        let parsed = SecretRef::parse("file:/run/a:b").unwrap();
        assert_eq!((parsed.source.as_str(), parsed.locator.as_str()), ("file", "/run/a:b"));
        for bad in ["", "env:", ":X", "sk-123", "ENV:X"] {
            assert!(SecretRef::parse(bad).is_none(), "{bad:?}");
        }
    }
}
