//! Keys in files of a folder, each under its file's name: a JWK in `*.json`, PEM in `*.pem`, otherwise what the
//! contents look like, which may also be the bytes of a symmetric key. A file is read anew at each use, so that a
//! change needs no restart. <https://docs.dapr.io/reference/components-reference/supported-cryptography/local-storage/>

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::crypto::{KeyVault, PlainKey, Wrapping};
use mainstay_core::{Ctx, Error, Fault, Result, codes};

use super::wrapping;
use crate::def::{Def, SettingDef};
use crate::keys::{self, Form, KEY_BYTES_MAX, Key};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn KeyVault> = Def {
    kind: "crypto.dapr.localstorage",
    aliases: &[],
    versions: &["v1"],
    about: "Keys in files of a folder: PEM, JWK, or the bytes of a symmetric key.",
    settings: &[SettingDef {
        name: "path",
        about: "The folder; relative to where Mainstay was started. A key's name is its file's.",
        required: true,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let folder = opening.folder.join(parse(opening.settings).0);
        Box::pin(async move {
            let vault = Local { folder };
            vault.look().await?;
            Ok(Arc::new(vault) as Arc<dyn KeyVault>)
        })
    },
};

fn parse(settings: &Settings) -> (PathBuf, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["path"], &mut faults);
    (PathBuf::from(settings.text("path").unwrap_or_default()), faults)
}

struct Local {
    folder: PathBuf,
}

impl Local {
    async fn look(&self) -> Result<()> {
        match tokio::fs::metadata(&self.folder).await {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(unavailable("the keys' `path` is no folder".to_owned())),
            Err(error) => Err(unavailable(format!("{}: {error}", self.folder.display()))),
        }
    }

    async fn key(&self, name: &str) -> Result<Key> {
        let path = self.path(name).ok_or_else(|| not_found(name))?;
        let meta = tokio::fs::metadata(&path).await.map_err(|error| cannot_read(name, &error))?;
        if !meta.is_file() || meta.len() > KEY_BYTES_MAX {
            return Err(Error::new(&codes::KEY_UNSUITABLE, format!("`{name}` is no file of a key")));
        }
        let text = tokio::fs::read(&path).await.map_err(|error| cannot_read(name, &error))?;
        let form = match path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase).as_deref()
        {
            Some("json") => Form::Jwk,
            Some("pem") => Form::Pem,
            _ => Form::Any,
        };
        keys::read(&text, form).map_err(|why| {
            Error::new(&codes::KEY_UNSUITABLE, format!("failed to parse the key `{name}`: {why}"))
        })
    }

    /// The file of a key; none for a name that leads out of the folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let name = Path::new(name.trim_start_matches('/'));
        let is_inside = name.components().all(|part| matches!(part, Component::Normal(_)));
        (is_inside && name.components().next().is_some()).then(|| self.folder.join(name))
    }
}

#[async_trait]
impl KeyVault for Local {
    fn wrappings(&self) -> &'static [Wrapping] {
        wrapping::ALL
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        self.look().await
    }

    async fn wrap(&self, _: &Ctx, name: &str, how: Wrapping, plain: &PlainKey) -> Result<Bytes> {
        wrapping::wrap(&self.key(name).await?, how, plain)
    }

    async fn unwrap(&self, _: &Ctx, name: &str, how: Wrapping, wrapped: &[u8]) -> Result<PlainKey> {
        wrapping::unwrap(&self.key(name).await?, how, wrapped)
    }
}

fn cannot_read(name: &str, error: &std::io::Error) -> Error {
    // A name that no file can have is that of no key.
    match error.kind() {
        std::io::ErrorKind::NotFound
        | std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::InvalidFilename => not_found(name),
        _ => unavailable(format!("{name}: {error}")),
    }
}

fn not_found(name: &str) -> Error {
    Error::new(&codes::KEY_NOT_FOUND, format!("no key is called `{name}`"))
}

fn unavailable(why: String) -> Error {
    Error::new(&codes::VAULT_UNAVAILABLE, "the folder of the keys cannot be read").with_internal(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_leads_to_a_file_below_the_folder_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::create_dir(folder.path().join("keys/v1")).unwrap();
        std::fs::write(folder.path().join("keys/v1/a"), [1; 32]).unwrap();
        std::fs::write(folder.path().join("outside"), [1; 32]).unwrap();
        let vault = Local { folder: folder.path().join("keys") };
        assert!(vault.key("v1/a").await.is_ok() && vault.key("/v1/a").await.is_ok());
        for name in ["../outside", "v1/../../outside", "", "/", ".", "missing", "v1/a/b", "a\0b"] {
            assert_eq!(vault.key(name).await.unwrap_err().code(), &codes::KEY_NOT_FOUND, "{name:?}");
        }
        assert_eq!(vault.key("v1").await.unwrap_err().code(), &codes::KEY_UNSUITABLE);
        let absolute = folder.path().join("outside");
        let error = vault.key(absolute.to_str().unwrap()).await.unwrap_err();
        assert_eq!(error.code(), &codes::KEY_NOT_FOUND);
        assert!(!unavailable("/etc/keys".to_owned()).to_string().contains("/etc"));
    }
}
