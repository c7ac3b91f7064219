//! TLS to backends whose settings bring certificates of their own.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// TLS that trusts these roots, or those of the house, and shows our certificate where there is one; all as PEM text.
/// Errors: what cannot be read.
pub(crate) fn client_config(
    roots: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
) -> io::Result<ClientConfig> {
    let read =
        |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(io::Error::other);
    let trusted = roots.map_or_else(|| Ok(mainstay_net::tls::root_certificates()), read)?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(trusted);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(store);
    let Some((certificate, key)) = identity else { return Ok(config.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(io::Error::other)?;
    config.with_client_auth_cert(read(certificate)?, key).map_err(io::Error::other)
}
