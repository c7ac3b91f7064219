//! The runtime's own configuration as a file says it: what apps may use, what is traced, measured and logged, what
//! requests pass through.
//!
//! Names of exporters, types and interfaces are texts here; those who own them know them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::Redacted;

/// The configuration. The default is that of a runtime without a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    /// Preview features by name, and whether the file turns them on or off. What it does not name is as the runtime has
    /// it.
    pub features: BTreeMap<String, bool>,
    /// Traces.
    pub tracing: Tracing,
    /// Metrics.
    pub metrics: Metrics,
    /// Which secrets apps may read, by secret store.
    pub secrets: BTreeMap<String, SecretScope>,
    /// Who may invoke this app; everybody when `None`.
    pub access: Option<AccessControl>,
    /// Interfaces that the app may use; all when empty.
    pub api_allowed: Vec<ApiRule>,
    /// Interfaces that it may not use.
    pub api_denied: Vec<ApiRule>,
    /// Types of component that must not be opened: `type`, or `type/version`.
    pub denied_types: Vec<String>,
    /// What requests to the runtime pass through, in this order.
    pub inbound: Vec<Handler>,
    /// What requests to the app pass through, in this order.
    pub toward_app: Vec<Handler>,
    /// Whether calls are logged.
    pub call_log: CallLog,
    /// How names of apps become addresses.
    pub name_resolution: Option<NameResolution>,
}

/// Traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracing {
    /// The share of requests that are traced, 0 to 1; the runtime's default when `None`.
    pub sampling_rate: Option<f64>,
    /// Whether spans are printed.
    pub stdout: bool,
    /// Where spans are sent.
    pub exporters: Vec<Exporter>,
}

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// The exporter's kind, as the file calls it.
    pub kind: String,
    /// The address.
    pub endpoint: String,
    /// How to speak there, where there is a choice.
    pub protocol: Option<String>,
    /// Whether over TLS.
    pub secure: bool,
    /// Headers to send, `name=value` with commas between, values percent-encoded.
    pub headers: Option<Redacted<String>>,
    /// How long sending may take.
    pub timeout: Option<Duration>,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Whether there are any.
    pub enabled: bool,
    /// Whether errors are counted by code.
    pub error_codes: bool,
    /// Whether requests are counted by path.
    pub by_path: bool,
    /// Paths, with `{name}` for what varies, that are counted as one.
    pub paths: Vec<String>,
    /// Whether the method is left out.
    pub without_method: bool,
    /// Bounds of the latency histograms in milliseconds; the runtime's own when empty.
    pub latency_buckets_ms: Vec<u64>,
    /// Rewriting of labels.
    pub rules: Vec<MetricRule>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            error_codes: false,
            by_path: false,
            paths: Vec::new(),
            without_method: false,
            latency_buckets_ms: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// How labels of a metric are rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRule {
    /// The metric.
    pub metric: String,
    /// The label.
    pub label: String,
    /// New values by the pattern that an old one fits.
    pub patterns: BTreeMap<String, String>,
}

/// Which secrets of a store apps may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretScope {
    /// Whether what is in neither list is refused.
    pub denied_by_default: bool,
    /// If not empty, these alone may be read.
    pub allowed: Vec<String>,
    /// These may not be read.
    pub denied: Vec<String>,
}

impl SecretScope {
    /// Whether the secret may be read.
    #[must_use]
    pub fn allows(&self, secret: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == secret);
        if self.allowed.is_empty() {
            !has(&self.denied) && !self.denied_by_default
        } else {
            has(&self.allowed)
        }
    }
}

/// What a rule does with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Lets it pass.
    #[default]
    Allow,
    /// Refuses it.
    Deny,
}

/// Who may invoke this app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessControl {
    /// What happens to callers without a policy.
    pub default: Action,
    /// The trust domain of this app; `public` when empty.
    pub trust_domain: String,
    /// Policies by caller.
    pub policies: Vec<AccessPolicy>,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The caller's app id.
    pub app: String,
    /// What happens to operations without a rule; as [`AccessControl::default`] when `None`.
    pub default: Option<Action>,
    /// The caller's trust domain.
    pub trust_domain: String,
    /// The caller's namespace.
    pub namespace: String,
    /// The rules.
    pub operations: Vec<Operation>,
}

/// A rule for operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The path, beginning with `/`; `/*` and `/**` stand for parts of it.
    pub path: String,
    /// The methods, upper case, `*` for all. The rule holds for no call with another method, and for every call without
    /// one.
    pub methods: Vec<String>,
    /// What happens.
    pub action: Action,
}

/// An interface that the app may or may not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRule {
    /// Its name, e.g. `state`.
    pub name: String,
    /// Its version, e.g. `v1.0`.
    pub version: String,
    /// Over which protocol, lower case; a rule without one fits no call.
    pub protocol: String,
}

/// Something that requests pass through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The component's name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its version; the first when empty.
    pub version: String,
}

/// Whether calls are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLog {
    /// Whether they are.
    pub enabled: bool,
    /// Whether by the route's name instead of the path.
    pub obfuscated: bool,
    /// Whether probes are left out.
    pub without_health: bool,
}

/// How names of apps become addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct NameResolution {
    /// The resolver's type.
    pub kind: String,
    /// Its version; the first when empty.
    pub version: String,
    /// Its settings.
    pub settings: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_is_the_last_word_on_secrets() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let open = SecretScope { denied: list(&["b"]), ..SecretScope::default() };
        assert!(open.allows("a") && !open.allows("b"));
        let closed = SecretScope { denied_by_default: true, ..SecretScope::default() };
        assert!(!closed.allows("a"));
        let listed = SecretScope { denied_by_default: true, allowed: list(&["a"]), denied: list(&["a"]) };
        assert!(listed.allows("a") && !listed.allows("b"));
    }
}
