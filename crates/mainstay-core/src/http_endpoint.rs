//! An external HTTP service that apps may invoke by a name of the operator's.

use crate::component::{Setting, SettingValue, admits};

/// An external service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Its name.
    pub name: String,
    /// The namespace that it is for; any when `None`.
    pub namespace: Option<String>,
    /// Where it is; paths are appended.
    pub base_url: String,
    /// Headers to send with every call.
    pub headers: Vec<Setting>,
    /// How to speak TLS to it, where it differs from the usual.
    pub tls: Option<Tls>,
    /// The secret store that its secrets are read from.
    pub secret_store: Option<String>,
    /// The apps that may invoke it; all when empty.
    pub scopes: Vec<String>,
    /// The file it comes from, with the line: for messages.
    pub origin: String,
}

impl HttpEndpoint {
    /// Whether an app in a namespace may invoke it.
    #[must_use]
    pub fn is_for(&self, app: &str, namespace: &str) -> bool {
        let here = self.namespace.as_deref().is_none_or(|own| own == namespace);
        here && admits(&self.scopes, app)
    }
}

/// TLS towards a service. Every part is a PEM text, or where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate authority to trust besides the usual ones.
    pub root_ca: Option<SettingValue>,
    /// Our certificate.
    pub certificate: Option<SettingValue>,
    /// Its private key.
    pub private_key: Option<SettingValue>,
    /// Whether the service may renegotiate.
    pub renegotiation: Renegotiation,
}

/// Whether a service may renegotiate TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renegotiation {
    /// It may not.
    #[default]
    Never,
    /// Once a connection.
    Once,
    /// Whenever it wants.
    Freely,
}
