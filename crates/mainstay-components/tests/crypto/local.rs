//! The rigs of keys in a folder: the same keys in each form that a file may have.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::crypto::Def;
use mainstay_core::crypto::{KeyVault, Wrapping};
use mainstay_testkit::conformance::crypto::{Named, Open, Rig};
use mainstay_testkit::keys;
use tempfile::TempDir;

/// Files by their names, for each form; the second name is the other key's, the third the public part's.
struct Form {
    aes: [&'static str; 2],
    rsa: [&'static str; 3],
    unfit: Option<&'static str>,
}

const FORMS: [(&str, Form); 3] = [
    (
        "local-jwk",
        Form {
            aes: ["aes.json", "aes-other.json"],
            rsa: ["rsa.json", "rsa-other.json", "public.pem"],
            unfit: Some("unfit.json"),
        },
    ),
    (
        "local-pem-and-bytes",
        Form { aes: ["bytes", "base64"], rsa: ["rsa.pem", "rsa-other.json", "public"], unfit: None },
    ),
    (
        "local-pkcs1",
        Form {
            aes: ["sub/bytes", "base64"],
            rsa: ["rsa.pkcs1", "rsa-other.json", "public.pkcs1.PEM"],
            unfit: None,
        },
    ),
];

pub(crate) fn ways(def: &'static Def) -> Vec<(&'static str, Open)> {
    let open = |form: &'static Form| -> Open {
        Arc::new(move || {
            Box::pin(async move {
                let folder = folder();
                let path = folder.path().display().to_string();
                let vault = super::open(def, &[("path", &path)], folder.path()).await.unwrap();
                Arc::new(Local { vault, folder, form }) as Arc<dyn Rig>
            })
        })
    };
    FORMS.iter().map(|(name, form)| (*name, open(form))).collect()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let raw: Vec<u8> = (0..32).collect();
    let unfit = keys::AES_JWK.replace("\"kid\"", "\"key_ops\":[\"encrypt\"],\"kid\"");
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let files: [(&str, &[u8]); 12] = [
        ("aes.json", keys::AES_JWK.as_bytes()),
        ("aes-other.json", keys::AES_OTHER_JWK.as_bytes()),
        ("unfit.json", unfit.as_bytes()),
        ("bytes", &raw),
        ("sub/bytes", &raw),
        ("base64", b"Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n"),
        ("rsa.json", keys::RSA_JWK.as_bytes()),
        ("rsa-other.json", keys::RSA_OTHER_JWK.as_bytes()),
        ("rsa.pem", keys::RSA_PEM.as_bytes()),
        ("rsa.pkcs1", keys::RSA_PKCS1_PEM.as_bytes()),
        ("public.pem", keys::RSA_PUBLIC_PEM.as_bytes()),
        ("public.pkcs1.PEM", keys::RSA_PUBLIC_PKCS1_PEM.as_bytes()),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("public"), keys::RSA_PUBLIC_PEM).unwrap();
    folder
}

struct Local {
    vault: Arc<dyn KeyVault>,
    folder: TempDir,
    form: &'static Form,
}

#[async_trait]
impl Rig for Local {
    fn vault(&self) -> Arc<dyn KeyVault> {
        Arc::clone(&self.vault)
    }

    fn name(&self, key: Named) -> Option<String> {
        let name = match key {
            Named::For(Wrapping::AesKw256) => self.form.aes[0],
            Named::Other(Wrapping::AesKw256) => self.form.aes[1],
            Named::For(Wrapping::RsaOaep256) => self.form.rsa[0],
            Named::Other(Wrapping::RsaOaep256) => self.form.rsa[1],
            Named::Public => self.form.rsa[2],
            Named::Unfit => self.form.unfit?,
        };
        Some(name.to_owned())
    }

    async fn stop(&self) -> bool {
        std::fs::remove_dir_all(self.folder.path()).unwrap();
        true
    }
}
