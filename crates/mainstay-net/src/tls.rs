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

/// What a service asks of TLS besides the usual. Every part is PEM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// An authority to trust besides the usual ones.
    pub root_ca: Option<&'a str>,
    /// Our certificate, and the private key for it.
    pub identity: Option<(&'a str, &'a str)>,
}

/// A configuration for one service. Errors: what cannot be read.
pub fn client_config_for(own: Own<'_>) -> Result<Arc<ClientConfig>, String> {
    let certificates = |pem: &str| {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let read = read.map_err(|fault| format!("it is no certificate: {fault}"))?;
        if read.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(read) }
    };
    let mut roots = root_certificates();
    if let Some(pem) = own.root_ca {
        roots.extend(certificates(pem).map_err(|why| format!("the root certificate: {why}"))?);
    }
    let Some((certificate, key)) = own.identity else { return Ok(Arc::new(build(roots))) };
    let chain = certificates(certificate).map_err(|why| format!("the certificate: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|fault| format!("the key: {fault}"))?;
    let config = with_roots(roots).with_client_auth_cert(chain, key);
    Ok(Arc::new(config.map_err(|fault| format!("the certificate and its key: {fault}"))?))
}

/// A configuration that takes any certificate: for a process beside us, whose certificate is its own and whose address is
/// what we trust. `h2` where it must speak HTTP/2.
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
    fn what_is_no_pem_is_told() {
        let check = |own: Own<'_>, about: &str| {
            let why = client_config_for(own).unwrap_err();
            assert!(why.contains(about), "{why}");
        };
        check(Own { root_ca: Some("x"), ..Own::default() }, "root");
        let made = rcgen::generate_simple_self_signed(["here".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        check(Own { root_ca: Some(&pem), identity: Some((&pem, "x")) }, "key");
        assert!(client_config_for(Own { root_ca: Some(&pem), identity: Some((&pem, &key)) }).is_ok());
    }
}
