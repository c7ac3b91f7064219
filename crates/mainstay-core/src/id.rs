//! Identifiers. Generated ones are UUIDv7 with a prefix, so they sort by creation time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest accepted id, in bytes.
            pub const BYTES_MAX: usize = 128;

            /// A fresh id, ordered by creation time.
            #[must_use]
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), uuid::Uuid::now_v7().simple()).into())
            }

            /// Takes an id given from outside: 1 to 128 visible ASCII characters without `/`.
            /// Anything else gives `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=Self::BYTES_MAX).contains(&text.len());
                (fits && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')).then(|| Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One invocation of an agent.
    RunId, "run_"
);
id!(
    /// An ordered conversation; the caller may choose it.
    SessionId, "ses_"
);
id!(
    /// One request on a surface; echoed as `x-request-id`.
    RequestId, "req_"
);
id!(
    /// One tool call inside a run, as the model named it.
    CallId, "call_"
);

/// A name that a user gives in the spec: agent, model, provider, tool or key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// Longest accepted name, in bytes.
    pub const BYTES_MAX: usize = 63;

    /// Accepts `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`; anything else gives `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let rest_fits = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        (first.is_ascii_alphanumeric() && rest_fits && text.len() <= Self::BYTES_MAX)
            .then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_outside_are_bounded_and_printable() {
        assert!(SessionId::parse("user-42:chat").is_some());
        for bad in ["", "a b", "a/b", "a\n", "ü", &"x".repeat(129)] {
            assert!(SessionId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_sort_by_creation() {
        let first = RunId::generate();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(first < RunId::generate());
    }

    #[test]
    fn names_are_url_safe() {
        assert!(Name::parse("gpt-5-mini.2").is_some());
        for bad in ["", "-a", "a/b", "a b", &"x".repeat(64)] {
            assert!(Name::parse(bad).is_none(), "{bad:?}");
        }
    }
}
