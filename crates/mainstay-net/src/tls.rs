//! One TLS configuration for every client: the host's roots, with the embedded ones where the host has none.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    trusting(roots).with_no_client_auth()
}

fn trusting(
    roots: Vec<CertificateDer<'static>>,
) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_root_certificates(store)
}

/// A client configuration of its own: `roots` instead of the house's, and a certificate with its key to be shown, all as
/// PEM.
///
/// # Errors
/// Which of the three cannot be used, and why; never their text.
pub fn config_of(
    roots: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<rustls::ClientConfig>, String> {
    let trusted = match roots {
        None => root_certificates(),
        Some(pem) => certificates(pem).map_err(|why| format!("the root certificates: {why}"))?,
    };
    let builder = trusting(trusted);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate).map_err(|why| format!("the client certificate: {why}"))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| format!("the client key: {why}"))?;
            let made = builder.with_client_auth_cert(chain, key);
            made.map_err(|why| format!("the client certificate and its key: {why}"))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(found) => Ok(found),
        Err(why) => Err(why.to_string()),
    }
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

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        let bad = config_of(Some(b"hunter2"), None).unwrap_err();
        assert!(bad.contains("root certificates") && !bad.contains("hunter2"), "{bad}");
        assert!(config_of(None, Some((b"x", b"y"))).unwrap_err().contains("client certificate"));
    }
}
