//! One TLS configuration for every client: the host's roots, with the embedded ones where the host has none.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;

/// The roots to trust: the system's (honouring `SSL_CERT_FILE` and `SSL_CERT_DIR`), else the embedded Mozilla set.
/// An image without a CA bundle would otherwise fail at its first request.
#[must_use]
pub fn root_certificates() -> Vec<CertificateDer<'static>> {
    let native = rustls_native_certs::load_native_certs().certs;
    if native.is_empty() { webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec() } else { native }
}

/// The client configuration, built once per process. Reading a bundle takes milliseconds, so nothing at start-up
/// calls this; the first TLS connection does.
#[must_use]
pub fn client_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(build(root_certificates()))))
}

fn build(roots: Vec<CertificateDer<'static>>) -> rustls::ClientConfig {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_root_certificates(store)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_roots_make_a_client_where_the_host_has_none() {
        let embedded = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        assert!(embedded.len() > 50);
        assert!(build(embedded).alpn_protocols.is_empty());
    }
}
