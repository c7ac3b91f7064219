//! Components: configured, named instances of backends, as their files say. Settings are opaque here; the adapters own
//! them.

use std::time::Duration;

/// A component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique among components.
    pub name: String,
    /// Its type: the block and the backend, with a point between.
    pub kind: String,
    /// The version of its settings, e.g. `v1`.
    pub version: String,
    /// Its settings, in the order of the file.
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

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name. Adapters compare it without regard to case.
    pub name: String,
    /// Its value.
    pub value: SettingValue,
}

/// A setting's value, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
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
