//! ★ `goldens`: the deployment files of the examples, `examples/NAME/deploy`, written from their specs or compared with
//! them. To add an example: a line in `SHIPPED`.
//!
//! They stand in the repository so that what `ship` writes can be read without running it, and so that a change of a
//! target shows what it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{project, shell};

/// Write or compare.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing; fail when a committed file is not current
    #[arg(long)]
    check: bool,
}

/// The examples that are shipped.
pub(crate) const SHIPPED: &[&str] = &["desk", "task-api", "vaia"];

/// How each is: everything that its spec says enough for, by the digest of the image, as a pipeline ships it; and for
/// Compose so that the image is built where it runs. The digest stands for that of an image that was built.
const CALLS: &[&[&str]] = &[
    &["all", "--digest", "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b"],
    &["compose"],
];

/// Writes the files; with `--check` compares, and is false when one differs.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let binary = project::build("mainstay", "dev")?;
    if options.check {
        return check(&binary).map(|stale| stale.is_empty());
    }
    for name in SHIPPED {
        let out = folder(name).join("deploy");
        // A file that is written no more must go, too.
        if out.is_dir() {
            std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
        }
        ship(&binary, &folder(name), &out)?;
        println!("wrote examples/{name}/deploy");
    }
    Ok(true)
}

/// The committed files that are not what `binary` would write, each shown.
pub(crate) fn check(binary: &Path) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for name in SHIPPED {
        let work = tempfile::tempdir()?;
        // Paths in the files lead from the target's folder to the spec's, so the spec is beside them here, too.
        let spec = work.path().join(name);
        copy(&folder(name), &spec)?;
        let out = spec.join("deploy");
        ship(binary, &spec, &out)?;
        let (fresh, committed) = (tree(&out)?, tree(&folder(name).join("deploy"))?);
        for file in differences(&fresh, &committed) {
            println!("examples/{name}/deploy/{file} is not current: run `cargo xtask goldens`");
            stale.push(format!("examples/{name}/deploy/{file}"));
        }
    }
    Ok(stale)
}

/// The folder of an example.
pub(crate) fn folder(name: &str) -> PathBuf {
    project::root().join("examples").join(name)
}

fn ship(binary: &Path, spec: &Path, out: &Path) -> anyhow::Result<()> {
    for call in CALLS {
        let mut command = Command::new(binary);
        command.arg("ship").args(*call).arg("--spec").arg(spec).arg("--out").arg(out);
        shell::output(&mut command)?;
    }
    Ok(())
}

/// Copies what git has of an example, without its deployment files.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    for file in shell::output(list.current_dir(from))?.lines().filter(|file| !file.starts_with("deploy/")) {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        std::fs::copy(from.join(file), target).with_context(|| format!("copy {file}"))?;
    }
    Ok(())
}

/// The files of a folder and those below it, by their path in it.
fn tree(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// Names that are missing on one side or differ.
fn differences(fresh: &BTreeMap<String, Vec<u8>>, committed: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = fresh.keys().chain(committed.keys()).collect();
    names.into_iter().filter(|&name| fresh.get(name) != committed.get(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_found_in_every_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/one", "1");
        write("a/b/two", "2");
        let committed = tree(folder.path()).unwrap();
        write("a/b/two", "3");
        write("three", "3");
        std::fs::remove_file(folder.path().join("a/one")).unwrap();
        let fresh = tree(folder.path()).unwrap();
        assert_eq!(differences(&fresh, &committed), ["a/b/two", "a/one", "three"]);
        assert!(differences(&fresh, &fresh).is_empty());
    }
}
