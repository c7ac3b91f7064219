//! One TLS configuration for every client: the host's roots, with the embedded ones where the host has none.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// The name of HTTP/2 in the handshake (RFC 9113, section 3.1).
const H2: &[u8] = b"h2";

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
pub fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(build(root_certificates()))))
}

/// A client configuration with `roots` instead of the house's, and a certificate with its key to be shown, all as PEM.
///
/// # Errors
/// Which of the three cannot be used, and why; never their text.
pub fn config_of(
    roots: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, String> {
    let trusted = match roots {
        None => root_certificates(),
        Some(pem) => certificates(pem).map_err(|why| format!("the root certificates: {why}"))?,
    };
    let builder = with_roots(trusted);
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

/// A configuration that takes any certificate: for a process beside us, whose certificate is its own and whose address
/// is what we trust. `h2` where it must speak HTTP/2.
#[must_use]
pub fn unverified_config(h2: bool) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    if h2 {
        config.alpn_protocols = vec![H2.to_vec()];
    }
    Arc::new(config)
}

/// Trusts every certificate; the handshake's signatures must hold all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn build(roots: Vec<CertificateDer<'static>>) -> ClientConfig {
    with_roots(roots).with_no_client_auth()
}

fn with_roots(
    roots: Vec<CertificateDer<'static>>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_root_certificates(store)
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
        let made = rcgen::generate_simple_self_signed(["here".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let with = |key: &[u8]| config_of(Some(pem.as_bytes()), Some((pem.as_bytes(), key)));
        assert!(with(b"x").unwrap_err().contains("client key"));
        assert!(with(key.as_bytes()).is_ok());
    }
}
