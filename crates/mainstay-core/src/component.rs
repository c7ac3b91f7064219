//! Components: configured, named instances of backends, as their files say. Settings are opaque here; the adapters own
//! them.

use std::fmt;
use std::time::Duration;

/// A component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique among the components that an app may use.
    pub name: String,
    /// The namespace that it is for; any when `None`.
    pub namespace: Option<String>,
    /// Its type: the block and the backend, with a point between.
    pub kind: String,
    /// The version of its settings as written, e.g. `v1`; empty where the file gives none, which is the first one.
    pub version: String,
    /// Its settings, in the order of the file. Names are unique.
    pub settings: Vec<Setting>,
    /// The secret store that its secrets are read from.
    pub secret_store: Option<String>,
    /// The apps that may use it; all when empty.
    pub scopes: Vec<String>,
    /// Whether the process goes on without it when it cannot be opened.
    pub ignore_errors: bool,
    /// How long opening it may take.
    pub init_timeout: Duration,
    /// The file it comes from, with the line: for messages.
    pub origin: String,
}

impl Component {
    /// Whether an app in a namespace may use it.
    #[must_use]
    pub fn is_for(&self, app: &str, namespace: &str) -> bool {
        let here = self.namespace.as_deref().is_none_or(|own| own == namespace);
        here && admits(&self.scopes, app)
    }
}

/// Whether a list of apps has this one; an empty list has all.
#[must_use]
pub fn admits(scopes: &[String], app: &str) -> bool {
    scopes.is_empty() || scopes.iter().any(|scope| scope == app)
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name. Adapters compare it without regard to case.
    pub name: String,
    /// Its value.
    pub value: SettingValue,
}

/// A setting's value, or where it is. `Debug` does not show a text: files may hold secrets in plain.
#[derive(Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// The text.
    Text(String),
    /// A key of a secret in the component's secret store.
    Secret {
        /// The secret's name.
        name: String,
        /// Which of its keys; the name itself where a secret is a single value.
        key: String,
    },
    /// An environment variable.
    Env(String),
}

impl fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text([redacted])"),
            Self::Secret { name, key } => {
                f.debug_struct("Secret").field("name", name).field("key", key).finish()
            }
            Self::Env(variable) => f.debug_tuple("Env").field(variable).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(namespace: Option<&str>, scopes: &[&str]) -> Component {
        Component {
            name: "orders".to_owned(),
            namespace: namespace.map(str::to_owned),
            kind: "state.x".to_owned(),
            version: "v1".to_owned(),
            settings: vec![Setting {
                name: "password".to_owned(),
                value: SettingValue::Text("hunter2".to_owned()),
            }],
            secret_store: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ignore_errors: false,
            init_timeout: Duration::from_secs(5),
            origin: String::new(),
        }
    }

    #[test]
    fn scopes_and_the_namespace_say_who_may_use_it() {
        assert!(component(None, &[]).is_for("shop", "any"));
        assert!(component(Some("prod"), &["shop"]).is_for("shop", "prod"));
        assert!(!component(Some("prod"), &[]).is_for("shop", "test"));
        assert!(!component(None, &["audit"]).is_for("shop", ""));
    }

    #[test]
    fn a_plain_value_never_prints() {
        assert!(!format!("{:?}", component(None, &[])).contains("hunter2"));
    }
}
