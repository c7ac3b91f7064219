//! Certificates as Dapr's brokers set them: `caCert`, `clientCert` and `clientKey`, each the text of a PEM file.

use mainstay_core::Fault;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::def::SettingDef;
use crate::settings::{Settings, fault};

/// The settings.
pub(crate) const SETTINGS: [SettingDef; 3] = [
    SettingDef {
        name: "caCert",
        about: "The certificates that the server's is signed with, as PEM text; the host's roots without.",
        required: false,
        secret: false,
    },
    SettingDef {
        name: "clientCert",
        about: "Our certificate, as PEM text; with `clientKey`.",
        required: false,
        secret: true,
    },
    SettingDef {
        name: "clientKey",
        about: "The private key of `clientCert`, as PEM text.",
        required: false,
        secret: true,
    },
];

/// What they say, as PEM text that was looked at.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    roots: Option<String>,
    /// Our certificate and its key.
    identity: Option<(String, String)>,
}

impl Certificates {
    /// Reads the settings.
    pub(crate) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        let certificates = "certificates as PEM text";
        let roots = settings.read("caCert", certificates, has_certificates, faults);
        let certificate = settings.read("clientCert", certificates, has_certificates, faults);
        let key = settings.read("clientKey", "a private key as PEM text", has_key, faults);
        for (given, missing) in [("clientCert", "clientKey"), ("clientKey", "clientCert")] {
            if settings.has(given) && !settings.has(missing) {
                faults.push(fault(missing, format!("`{given}` is there and `{missing}` is missing"), None));
            }
        }
        Self { roots, identity: certificate.zip(key) }
    }

    /// TLS as they say. Errors: what cannot be read.
    pub(crate) fn client_config(&self) -> std::io::Result<rustls::ClientConfig> {
        let identity =
            self.identity.as_ref().map(|(certificate, key)| (certificate.as_bytes(), key.as_bytes()));
        super::tls::client_config(self.roots.as_deref().map(str::as_bytes), identity)
    }
}

fn has_certificates(text: &str) -> Option<String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    all.is_ok_and(|all| !all.is_empty()).then(|| text.to_owned())
}

fn has_key(text: &str) -> Option<String> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).ok().map(|_| text.to_owned())
}
