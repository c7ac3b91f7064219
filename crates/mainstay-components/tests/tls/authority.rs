//! Authorities that sign certificates, and what they sign.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

/// A certificate with its key, as PEM text.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// One that nobody knows yet.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = params(name).self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params(name), key), pem }
    }

    /// Keeps it in a folder. Its certificate is in the file that is returned.
    pub(crate) fn write(&self, folder: &Path) -> std::path::PathBuf {
        std::fs::write(folder.join("key.pem"), self.issuer.key().serialize_pem()).unwrap();
        let path = folder.join("certificate.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// The one that is kept in a folder under this name.
    pub(crate) fn read(name: &str, folder: &Path) -> Self {
        let text = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        let key = KeyPair::from_pem(&text("key.pem")).unwrap();
        Self { issuer: Issuer::new(params(name), key), pem: text("certificate.pem") }
    }

    /// A server's certificate, for this machine under both of its names.
    pub(crate) fn server(&self) -> Pair {
        self.sign("localhost", &["localhost", "127.0.0.1"])
    }

    /// Somebody's certificate.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(name, &[name])
    }

    fn sign(&self, name: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Pair {
    /// Puts both into files of a server's folder: `server.crt` and `server.key`; and the authority's certificate into
    /// `authority.crt`.
    pub(crate) fn write(&self, authority: &Authority, folder: &Path) {
        let files =
            [("server.crt", &self.certificate), ("server.key", &self.key), ("authority.crt", &authority.pem)];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
}
