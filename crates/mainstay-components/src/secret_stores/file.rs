//! Secrets in a JSON file, for development. Nested objects are either one secret a leaf, its name the path with a
//! separator between (the default), or one secret a top-level name with several values. The file is read anew at each
//! question, so that a change needs no restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Error, Fault, Redacted, Result, codes};
use serde_json::{Map, Value};

use crate::def::{Def, SettingDef};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn SecretStore> = Def {
    kind: "secretstores.local.file",
    aliases: &[],
    versions: &["v1"],
    about: "A JSON file, for development.",
    settings: &[
        SettingDef {
            name: "secretsFile",
            about: "The file; relative to where Mainstay was started.",
            required: true,
            secret: false,
        },
        SettingDef {
            name: "nestedSeparator",
            about: "Stands between the names of nested objects. `:` by default.",
            required: false,
            secret: false,
        },
        SettingDef {
            name: "multiValued",
            about: "Whether a top-level object is one secret with several values. `false` by default.",
            required: false,
            secret: false,
        },
    ],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (parsed, _) = parse(opening.settings);
        let store = File { path: opening.folder.join(&parsed.file), ..parsed };
        Box::pin(async move {
            store.read()?;
            Ok(Arc::new(store) as Arc<dyn SecretStore>)
        })
    },
};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 16 << 20;

struct File {
    file: String,
    path: PathBuf,
    separator: String,
    multi_valued: bool,
}

fn parse(settings: &Settings) -> (File, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["secretsFile"], &mut faults);
    let file = File {
        file: settings.text("secretsFile").unwrap_or_default().to_owned(),
        path: PathBuf::new(),
        separator: settings.text("nestedSeparator").unwrap_or(":").to_owned(),
        multi_valued: settings.flag("multiValued", &mut faults).unwrap_or(false),
    };
    (file, faults)
}

impl File {
    fn read(&self) -> Result<BTreeMap<String, Secret>> {
        let object = read_object(&self.path).map_err(|why| {
            Error::new(&codes::SECRET_UNAVAILABLE, "the secrets' file cannot be used").with_internal(why)
        })?;
        Ok(self.secrets(&object))
    }

    fn secrets(&self, object: &Map<String, Value>) -> BTreeMap<String, Secret> {
        let mut secrets = BTreeMap::new();
        for (name, value) in object {
            let mut leaves = Vec::new();
            flatten(value, "", &self.separator, &mut leaves);
            if self.multi_valued {
                let values = leaves.into_iter().map(|(path, value)| {
                    let key = if path.is_empty() { name.clone() } else { path };
                    (key, Redacted::new(value))
                });
                secrets.insert(name.clone(), values.collect());
                continue;
            }
            for (path, value) in leaves {
                let full =
                    if path.is_empty() { name.clone() } else { format!("{name}{}{path}", self.separator) };
                secrets.insert(full.clone(), Secret::from([(full, Redacted::new(value))]));
            }
        }
        secrets
    }
}

fn read_object(path: &Path) -> std::result::Result<Map<String, Value>, String> {
    let meta = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(format!("{}: it is no file of at most {FILE_BYTES_MAX} bytes", path.display()));
    }
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The parser's message repeats nothing of the file but where it failed.
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The leaves below a value, with the path to each; numbers and switches as their text.
fn flatten(value: &Value, path: &str, separator: &str, leaves: &mut Vec<(String, String)>) {
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}{separator}{name}") };
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                flatten(value, &below(name), separator, leaves);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                flatten(value, &below(&at.to_string()), separator, leaves);
            }
        }
        Value::String(text) => leaves.push((path.to_owned(), text.clone())),
        Value::Null => leaves.push((path.to_owned(), String::new())),
        other => leaves.push((path.to_owned(), other.to_string())),
    }
}

#[async_trait]
impl SecretStore for File {
    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        self.read().map(|_| ())
    }

    async fn get(&self, _ctx: &Ctx, name: &str, _metadata: &BTreeMap<String, String>) -> Result<Secret> {
        Ok(self.read()?.remove(name).unwrap_or_default())
    }

    async fn all(
        &self,
        _ctx: &Ctx,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Secret>> {
        self.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"redisPassword":"hunter2","db":{"user":"me","ports":[1,2]},"on":true}"#;

    fn store(settings: &[(&str, &str)]) -> File {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        parse(&Settings::new(settings)).0
    }

    fn check(store: &File, expect: &[(&str, &[(&str, &str)])]) {
        let secrets = store.secrets(&serde_json::from_str(TEXT).unwrap());
        let found: Vec<_> = secrets
            .iter()
            .map(|(name, secret)| {
                let values: Vec<_> =
                    secret.iter().map(|(key, value)| (key.as_str(), value.expose().as_str())).collect();
                (name.as_str(), values)
            })
            .collect();
        let wanted: Vec<_> = expect.iter().map(|(name, values)| (*name, values.to_vec())).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn nested_values_are_secrets_of_their_own_or_values_of_one() {
        check(
            &store(&[("nestedSeparator", ".")]),
            &[
                ("db.ports.0", &[("db.ports.0", "1")]),
                ("db.ports.1", &[("db.ports.1", "2")]),
                ("db.user", &[("db.user", "me")]),
                ("on", &[("on", "true")]),
                ("redisPassword", &[("redisPassword", "hunter2")]),
            ],
        );
        check(
            &store(&[("multiValued", "true")]),
            &[
                ("db", &[("ports:0", "1"), ("ports:1", "2"), ("user", "me")]),
                ("on", &[("on", "true")]),
                ("redisPassword", &[("redisPassword", "hunter2")]),
            ],
        );
    }

    #[tokio::test]
    async fn a_change_of_the_file_is_seen_and_a_missing_file_is_an_error_without_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let store = File { path: path.clone(), ..store(&[]) };
        let (ctx, none) = (Ctx::system(), BTreeMap::new());
        let error = store.get(&ctx, "a", &none).await.unwrap_err();
        assert_eq!(error.code(), &codes::SECRET_UNAVAILABLE);
        assert!(!error.to_string().contains("secrets.json"));
        std::fs::write(&path, r#"{"a":"1"}"#).unwrap();
        assert_eq!(store.get(&ctx, "a", &none).await.unwrap()["a"].expose(), "1");
        assert!(store.get(&ctx, "b", &none).await.unwrap().is_empty());
        std::fs::write(&path, r#"{"a":"2"}"#).unwrap();
        assert_eq!(store.get(&ctx, "a", &none).await.unwrap()["a"].expose(), "2");
        assert!(parse(&Settings::default()).1[0].message.contains("secretsFile"));
    }
}
