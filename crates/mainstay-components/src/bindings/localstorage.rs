//! Files below a folder. No name leads out of it: not by `..`, not by a symbolic link.
//! <https://docs.dapr.io/reference/components-reference/supported-bindings/localstorage/>

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::binding::{Binding, Capabilities, Operation, Outcome, not_supported};
use mainstay_core::{Ctx, Error, Fault, Result, codes};

use super::{failed, operations};
use crate::def::{Def, SettingDef};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.localstorage",
    aliases: &[],
    versions: &["v1"],
    about: "Files below a folder of this host.",
    settings: &[SettingDef {
        name: "rootPath",
        about: "The folder; relative to where Mainstay was started. It is made where it is not there. Not below `/proc`, \
                `/sys`, `/boot` or `/var/run/secrets`.",
        required: true,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let root = opening.folder.join(parse(opening.settings).0);
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || root_of(&root)).await;
            let root = opened.map_err(|error| Error::bug(error.to_string()))??;
            Ok(Arc::new(Files { root }) as Arc<dyn Binding>)
        })
    },
};

/// Bytes of a file that are read.
const FILE_BYTES_MAX: u64 = 100 << 20;
/// Files that are listed, and folders within folders that are looked into.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 64;
/// Where nobody's files are.
const FORBIDDEN: [&str; 5] = ["/proc", "/sys", "/boot", "/var/run/secrets", "/run/secrets"];

fn parse(settings: &Settings) -> (PathBuf, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["rootPath"], &mut faults);
    (PathBuf::from(settings.text("rootPath").unwrap_or_default()), faults)
}

/// The folder, made where it is not there, without links. Errors: `CONFIG_VALUE` for one that may not be used.
fn root_of(path: &Path) -> Result<PathBuf> {
    let unusable = |why: &str| Error::new(&codes::CONFIG_VALUE, format!("`rootPath` cannot be used: {why}"));
    let is_forbidden = |path: &Path| FORBIDDEN.iter().any(|bad| path.starts_with(bad));
    // Looked at before anything is made, and again with its links followed.
    if is_forbidden(path) {
        return Err(unusable("it is at a place of the system's"));
    }
    std::fs::create_dir_all(path).map_err(|error| unusable(&error.to_string()))?;
    let root = path.canonicalize().map_err(|error| unusable(&error.to_string()))?;
    if is_forbidden(&root) { Err(unusable("it is at a place of the system's")) } else { Ok(root) }
}

struct Files {
    root: PathBuf,
}

impl Files {
    /// The path of a name, and the same from the root. `..` goes up no further than that. Errors: `INVALID_FIELD` for a
    /// name that a link leads out of the folder.
    fn path(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let mut relative = PathBuf::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => relative.push(part),
                Component::ParentDir => {
                    relative.pop();
                }
                _ => {}
            }
        }
        let path = self.root.join(&relative);
        // What is there of it must lie inside, wherever its links lead.
        let there = path.ancestors().find_map(|part| part.symlink_metadata().ok().map(|_| part));
        let real = there.map_or_else(|| Ok(self.root.clone()), Path::canonicalize);
        if real.is_ok_and(|real| real.starts_with(&self.root)) {
            return Ok((path, relative));
        }
        let message = format!("`{name}` leads out of the folder");
        Err(Error::new(&codes::INVALID_FIELD, message).with_field("metadata.fileName"))
    }

    fn work(&self, operation: Operation) -> Result<Option<Outcome>> {
        let name = operation.metadata.get("fileName").map(String::as_str).unwrap_or_default();
        match operation.name.as_str() {
            "create" if name.is_empty() => {
                self.create(&uuid::Uuid::new_v4().to_string(), operation.data).map(Some)
            }
            "create" => self.create(name, operation.data).map(Some),
            "get" => self.get(name).map(Some),
            "list" => self.list(name).map(Some),
            "delete" => self.delete(name).map(|()| None),
            other => Err(not_supported(other)),
        }
    }

    fn create(&self, name: &str, data: Bytes) -> Result<Outcome> {
        let (path, relative) = self.path(name)?;
        let broken = |error: &std::io::Error| failed(format!("write `{name}`: {error}"), String::new());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| broken(&error))?;
        }
        std::fs::write(&path, content(data)).map_err(|error| broken(&error))?;
        let named = serde_json::json!({"fileName": relative.to_string_lossy()});
        Ok(outcome(named.to_string().into()))
    }

    fn get(&self, name: &str) -> Result<Outcome> {
        let (path, _) = self.path(name)?;
        let broken = |error: &std::io::Error| match error.kind() {
            ErrorKind::NotFound => failed(format!("file not found: {name}"), String::new()),
            _ => failed(format!("read `{name}`: {error}"), String::new()),
        };
        let file = std::fs::File::open(&path).map_err(|error| broken(&error))?;
        let mut data = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut data).map_err(|error| broken(&error))?;
        if data.len() as u64 > FILE_BYTES_MAX {
            return Err(failed(
                format!("read `{name}`: it has more than {FILE_BYTES_MAX} bytes"),
                String::new(),
            ));
        }
        Ok(outcome(data.into()))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let (path, _) = self.path(name)?;
        let broken = |error: std::io::Error| failed(format!("remove `{name}`: {error}"), String::new());
        let meta = path.symlink_metadata().map_err(broken)?;
        if meta.is_dir() { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) }.map_err(broken)
    }

    fn list(&self, name: &str) -> Result<Outcome> {
        let (path, _) = self.path(name)?;
        if !path.is_dir() {
            return Err(failed(format!("list `{name}`: it is no folder"), String::new()));
        }
        let mut files = Vec::new();
        walk(&path, 0, &mut files)
            .map_err(|error| failed(format!("list `{name}`: {error}"), String::new()))?;
        // No file at all is told as the protocol's own binding tells it.
        let listed = if files.is_empty() { serde_json::Value::Null } else { files.into() };
        Ok(outcome(listed.to_string().into()))
    }
}

/// The files below a folder, sorted. Links are files of their own: what they lead to is not looked into.
fn walk(folder: &Path, depth: usize, files: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            if depth < DEPTH_MAX {
                walk(&entry.path(), depth + 1, files)?;
            }
        } else if files.len() >= FILES_MAX {
            return Err(std::io::Error::other(format!("there are more than {FILES_MAX} files")));
        } else {
            files.push(entry.path().to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// What is written: a JSON string without its quotes, base64 decoded, all else as it is.
fn content(data: Bytes) -> Bytes {
    let data = serde_json::from_slice::<String>(&data).map_or(data, Bytes::from);
    STANDARD.decode(&data).map_or(data, Bytes::from)
}

fn outcome(data: Bytes) -> Outcome {
    Outcome { data, metadata: BTreeMap::new() }
}

#[async_trait]
impl Binding for Files {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: operations(&["create", "get", "list", "delete"]), events: false }
    }

    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        let there = tokio::fs::metadata(&self.root).await;
        there.map(|_| ()).map_err(|error| failed("look at the folder: it is not there", error.to_string()))
    }

    async fn invoke(&self, _ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        let files = Self { root: self.root.clone() };
        let done = tokio::task::spawn_blocking(move || files.work(operation)).await;
        done.map_err(|error| Error::bug(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Files {
        Files { root: root_of(folder).unwrap() }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (outside, root) = (folder.path().join("outside"), folder.path().join("root"));
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "x").unwrap();
        let files = files(&root);
        for (name, expect) in [("a/b", "a/b"), ("../../etc/x", "etc/x"), ("/abs", "abs"), ("a/../../b", "b")]
        {
            assert_eq!(files.path(name).unwrap().1, Path::new(expect), "{name}");
        }
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("none"), root.join("dangling")).unwrap();
        for name in ["link/secret", "link", "link/new", "dangling"] {
            assert_eq!(files.path(name).unwrap_err().code(), &codes::INVALID_FIELD, "{name}");
        }
        assert!(files.get("../outside/secret").is_err());
    }

    #[test]
    fn places_of_the_system_are_no_folder_for_files() {
        assert!(root_of(Path::new("/proc/self/x")).is_err());
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc/self", folder.path().join("p")).unwrap();
        assert!(root_of(&folder.path().join("p")).is_err());
    }

    #[test]
    fn content_is_what_was_meant() {
        let check = |data: &'static str, expect: &str| assert_eq!(content(data.into()), expect.as_bytes());
        check("plain text", "plain text");
        check(r#""quoted\n""#, "quoted\n");
        check(r#""aGVsbG8=""#, "hello");
        check(r#"{"a":1}"#, r#"{"a":1}"#);
    }
}
