//! `docs`: writes `docs/reference` (spec, JSON Schema, OpenAPI, command line, errors) from the binary, or compares.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::{project, shell};

/// Write or compare.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing; fail when a committed file is not current
    #[arg(long)]
    check: bool,
}

/// Writes the pages; with `--check` compares, and is false when one differs.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let binary = project::build("mainstay", "dev")?;
    if options.check {
        return check(&binary).map(|stale| stale.is_empty());
    }
    write(&binary, &project::root().join("docs/reference"))?;
    println!("wrote docs/reference");
    Ok(true)
}

/// The committed files that are not what `binary` would write, each shown.
pub(crate) fn check(binary: &Path) -> anyhow::Result<Vec<String>> {
    let fresh = tempfile::tempdir()?;
    write(binary, fresh.path())?;
    let (fresh, committed) = (read(fresh.path())?, read(&project::root().join("docs/reference"))?);
    let stale = differences(&fresh, &committed);
    for name in &stale {
        println!("docs/reference/{name} is not current: run `cargo xtask docs`");
    }
    Ok(stale)
}

fn write(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    shell::run(Command::new(binary).arg("reference").arg("--out").arg(folder))
}

fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

/// Names that are missing on one side or differ.
fn differences(fresh: &BTreeMap<String, String>, committed: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = fresh.keys().chain(committed.keys()).collect();
    names.into_iter().filter(|&name| fresh.get(name) != committed.get(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_found() {
        let files = |list: &[(&str, &str)]| {
            list.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
        };
        let fresh = files(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let committed = files(&[("a", "1"), ("b", "2"), ("d", "1")]);
        assert_eq!(differences(&fresh, &committed), ["b", "c", "d"]);
        assert!(differences(&fresh, &fresh).is_empty());
    }
}
