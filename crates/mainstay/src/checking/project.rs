//! What is judged on paper, read from the disk within bounds: the project's files, and those that deploy it, as they
//! are there or, where a target was not shipped yet, as `ship` would write them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use mainstay_core::Plan;
use mainstay_core::plan::Environment;
use mainstay_ship::checks::{Artifact, Subject, Text, covers, readable};
use mainstay_ship::{Project, Target, Workload, targets};

use crate::ship;

/// Files that are read.
const FILES_MAX: usize = 5_000;
/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of one file that are read.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Bytes that are read in all.
const BYTES_MAX: usize = 32 << 20;

/// Files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Those that are text.
    pub(crate) texts: Vec<Text>,
    /// Why others were not read, if any were not.
    pub(crate) unread: Option<String>,
    bytes: usize,
    entries: usize,
}

/// The files below `folder` that `wanted` names by their paths from there; `prefix` stands before each path.
pub(crate) fn below(folder: &Path, prefix: &str, wanted: &dyn Fn(&str) -> bool) -> Files {
    let mut files = Files::default();
    let mut waiting: Vec<(PathBuf, String)> = vec![(folder.to_path_buf(), String::new())];
    while let Some((at, way)) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&at) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            files.entries += 1;
            if files.entries > ENTRIES_MAX || files.texts.len() >= FILES_MAX || files.bytes > BYTES_MAX {
                files.unread = Some(format!("`{}` has too many files to look through", folder.display()));
                return files;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if way.is_empty() { name } else { format!("{way}/{name}") };
            // Links are not followed: what they lead to is elsewhere.
            let Ok(kind) = entry.file_type() else { continue };
            if !wanted(&path) {
                continue;
            }
            if kind.is_dir() {
                waiting.push((entry.path(), path));
            } else if kind.is_file()
                && let Some(text) = read(&entry.path())
            {
                files.bytes += text.len();
                files.texts.push(Text { path: format!("{prefix}{path}"), text });
            }
        }
    }
    files
}

/// The first bytes of a file, where they are text.
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 == FILE_BYTES_MAX {
        // The last character may have been cut.
        bytes.truncate(bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len()));
    }
    readable(bytes)
}

/// The project's own files: all below its folder but what is shipped and what no repository has.
pub(crate) fn sources(folder: &Path, out: &str) -> Files {
    let shipped: Vec<String> = targets::ALL.iter().map(|target| format!("{out}/{}", target.name)).collect();
    below(folder, "", &|path| covers(path) && !shipped.iter().any(|target| target == path))
}

/// What is judged. `out` is the folder of the targets.
pub(crate) fn subject<'a>(
    plan: &'a Plan,
    project: &Project<'_>,
    environment: Environment,
    out: &Path,
    sources: &'a Files,
) -> Subject<'a> {
    let (mut artifacts, mut unwritten) = (Vec::new(), Vec::new());
    let prefix = |target: &Target| format!("{}/{}/", project.out, target.name);
    for target in targets::ALL {
        let on_disk = below(&out.join(target.name), &prefix(target), &|path| path != ship::RECORD).texts;
        if on_disk.is_empty() {
            unwritten.push(target);
        }
        artifacts.extend(on_disk.into_iter().map(|file| Artifact::new(target.name, file, true)));
    }
    // A target that cannot run this service has nothing that could be judged; nor have all, where a patch is wrong.
    let each = mainstay_ship::ship(project, unwritten, environment).unwrap_or_default();
    for (target, rendered) in each {
        let files = rendered.map(|rendered| rendered.files).unwrap_or_default();
        artifacts.extend(files.into_iter().map(|file| {
            let text = Text { path: format!("{}{}", prefix(target), file.path), text: file.text };
            Artifact::new(target.name, text, false)
        }));
    }
    let workloads =
        Environment::ALL.into_iter().map(|environment| Workload::of(project, environment)).collect();
    Subject {
        plan,
        environment,
        workloads,
        artifacts,
        sources: &sources.texts,
        unread: sources.unread.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_but_for_links_binaries_and_what_is_not_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("a.txt", b"a");
        write("sub/b.txt", b"b");
        write("node_modules/c.txt", b"c");
        write("binary", b"\0\x01");
        write("deploy/kubernetes/x.yaml", b"x");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let found = sources(folder.path(), "deploy");
        let paths: Vec<_> = found.texts.iter().map(|text| text.path.as_str()).collect();
        assert_eq!(paths, ["a.txt", "sub/b.txt"]);
        assert_eq!(found.unread, None);
    }

    #[test]
    fn a_large_file_is_read_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        fs::write(&path, "xé".repeat(usize::try_from(FILE_BYTES_MAX).unwrap())).unwrap();
        assert!(read(&path).unwrap().ends_with(['x', 'é']));
    }
}
