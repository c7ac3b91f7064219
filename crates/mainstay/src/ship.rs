//! The disk's side of `ship`: what stands beside the spec, and files written so that nothing made by hand is lost.
//!
//! What was written is on record in a file of hashes beside it, in the format of `sha256sum`. A file that is not what
//! the record says was changed by hand and is not touched.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use mainstay_ship::{File, Header, sha256_hex};
use similar::TextDiff;

/// The record, in a target's folder.
pub(crate) const RECORD: &str = ".mainstay.sha256";

/// Names of what is beside the spec.
pub(crate) fn beside(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The way from one folder to another, with `/`: `../..`, `deploy`, `.`. Both are absolute.
pub(crate) fn way(from: &Path, to: &Path) -> String {
    let (from, to) = (plain(from), plain(to));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - shared).map(str::to_owned);
    let words: Vec<String> = up.chain(to[shared..].iter().cloned()).collect();
    if words.is_empty() { ".".to_owned() } else { words.join("/") }
}

/// The names along a path, without `.` and with `..` worked off.
fn plain(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}

/// What became of a target's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Files written, new or with another text.
    pub(crate) new: usize,
    /// Files that were there already, as they are.
    pub(crate) same: usize,
    /// Files that were changed by hand and left alone.
    pub(crate) kept: Vec<String>,
    /// Files of an earlier time that are no more, taken away.
    pub(crate) gone: usize,
}

/// Writes a target's files. One that was changed by hand is left alone unless `force` is given.
pub(crate) fn write(folder: &Path, files: &[File], force: bool) -> anyhow::Result<Written> {
    let before = record(folder)?;
    let mut after = BTreeMap::new();
    let mut written = Written::default();
    for File { path, text, .. } in files {
        let at = folder.join(path);
        let present = read(&at)?;
        let ours =
            present.as_ref().is_none_or(|present| before.get(path) == Some(&sha256_hex(present.as_bytes())));
        if present.as_deref() == Some(text) {
            written.same += 1;
        } else if ours || force {
            put(&at, text)?;
            written.new += 1;
        } else {
            written.kept.push(path.clone());
            after.extend(before.get_key_value(path).map(|(path, hash)| (path.clone(), hash.clone())));
            continue;
        }
        after.insert(path.clone(), sha256_hex(text.as_bytes()));
    }
    for (path, hash) in before.iter().filter(|(path, _)| !files.iter().any(|file| file.path == **path)) {
        let at = folder.join(path);
        if read(&at)?.is_some_and(|present| sha256_hex(present.as_bytes()) == *hash) {
            std::fs::remove_file(&at).with_context(|| format!("remove `{}`", at.display()))?;
            written.gone += 1;
        }
    }
    let lines: String = after.iter().map(|(path, hash)| format!("{hash}  {path}\n")).collect();
    put(&folder.join(RECORD), &lines)?;
    Ok(written)
}

/// What would change, as a unified diff; nothing where all is as it would be written.
pub(crate) fn difference(folder: &Path, target: &str, files: &[File]) -> anyhow::Result<String> {
    let mut out = String::new();
    for File { path, text, .. } in files {
        let present = read(&folder.join(path))?.unwrap_or_default();
        if present != *text {
            let names = (format!("a/{target}/{path}"), format!("b/{target}/{path}"));
            let diff = TextDiff::from_lines(&present, text);
            out.push_str(&diff.unified_diff().header(&names.0, &names.1).to_string());
        }
    }
    for path in record(folder)?.into_keys().filter(|path| !files.iter().any(|file| file.path == *path)) {
        if let Some(present) = read(&folder.join(&path))? {
            let diff = TextDiff::from_lines(present.as_str(), "");
            out.push_str(&diff.unified_diff().header(&format!("a/{target}/{path}"), "/dev/null").to_string());
        }
    }
    Ok(out)
}

/// Takes the headers and the record away: the files belong to who has them. Gives their number.
pub(crate) fn eject(folder: &Path) -> anyhow::Result<usize> {
    let record = record(folder)?;
    let mut count = 0;
    for path in record.keys() {
        let at = folder.join(path);
        if let Some(present) = read(&at)? {
            put(&at, &Header::without(&present))?;
            count += 1;
        }
    }
    if !record.is_empty() {
        std::fs::remove_file(folder.join(RECORD)).context("remove the record")?;
    }
    Ok(count)
}

/// Paths and the hashes of what was written there.
fn record(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = read(&folder.join(RECORD))?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    Ok(lines.map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect())
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read `{}`", path.display())),
    }
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    std::fs::create_dir_all(&parent).with_context(|| format!("make `{}`", parent.display()))?;
    std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text)
    }

    #[test]
    fn the_way_between_folders_has_no_detours() {
        for (from, to, expect) in [
            ("/a/deploy/compose", "/a", "../.."),
            ("/a", "/a/deploy", "deploy"),
            ("/a/./b", "/a/b/../b", "."),
            ("/a/b", "/c/d", "../../c/d"),
        ] {
            assert_eq!(way(Path::new(from), Path::new(to)), expect, "{from} to {to}");
        }
    }

    #[test]
    fn writing_twice_changes_nothing_and_what_is_no_more_goes() {
        let folder = tempfile::tempdir().unwrap();
        let both = [file("a.yaml", "a: 1\n"), file("sub/b.yaml", "b: 1\n")];
        assert_eq!(write(folder.path(), &both, false).unwrap(), Written { new: 2, ..Written::default() });
        assert_eq!(write(folder.path(), &both, false).unwrap(), Written { same: 2, ..Written::default() });
        assert_eq!(difference(folder.path(), "t", &both).unwrap(), "");
        let fewer = write(folder.path(), &both[..1], false).unwrap();
        assert_eq!(fewer, Written { same: 1, gone: 1, ..Written::default() });
        assert!(!folder.path().join("sub/b.yaml").exists());
    }

    #[test]
    fn what_was_changed_by_hand_is_kept_until_it_is_forced() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a.yaml");
        write(folder.path(), &[file("a.yaml", "a: 1\n")], false).unwrap();
        std::fs::write(&at, "a: 2\n").unwrap();
        let newer = [file("a.yaml", "a: 3\n")];
        for _ in 0..2 {
            let kept = write(folder.path(), &newer, false).unwrap();
            assert_eq!(kept.kept, ["a.yaml"]);
            assert_eq!(std::fs::read_to_string(&at).unwrap(), "a: 2\n");
        }
        let shown = difference(folder.path(), "t", &newer).unwrap();
        assert!(shown.contains("-a: 2") && shown.contains("+a: 3"), "{shown}");
        assert_eq!(write(folder.path(), &newer, true).unwrap().new, 1);
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "a: 3\n");
    }

    #[test]
    fn files_that_were_there_before_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "mine: true\n").unwrap();
        let kept = write(folder.path(), &[file("a.yaml", "a: 1\n")], false).unwrap();
        assert_eq!(kept.kept, ["a.yaml"]);
    }

    #[test]
    fn ejected_files_have_no_header_and_are_not_touched_again() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header { version: "1.0.0", spec_hash: "abc" };
        let ours = [file("a.yaml", &(header.lines("#") + "a: 1\n"))];
        write(folder.path(), &ours, false).unwrap();
        assert_eq!(eject(folder.path()).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(folder.path().join("a.yaml")).unwrap(), "a: 1\n");
        assert_eq!(write(folder.path(), &ours, false).unwrap().kept, ["a.yaml"]);
    }
}
