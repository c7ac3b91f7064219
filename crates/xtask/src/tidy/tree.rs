//! What the rules look at: the files that git would commit, and the packages with their edges.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::source::Source;
use crate::{project, shell};

/// The checkout.
#[derive(Default)]
pub(super) struct Tree {
    /// Text files by their path from the root.
    pub(super) files: BTreeMap<String, String>,
    /// The Rust files of them, read.
    pub(super) sources: BTreeMap<String, Source>,
    /// The packages of the workspace.
    pub(super) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its ring; `None` when its manifest does not say.
    pub(super) ring: Option<u64>,
    /// Whether it is plumbing.
    pub(super) plumbing: bool,
    /// Its features, `default` left out.
    pub(super) features: Vec<String>,
    /// Packages of this workspace that its code uses.
    pub(super) uses: Vec<String>,
    /// Packages of this workspace that its tests use.
    pub(super) tests_use: Vec<String>,
}

impl Tree {
    /// Reads the checkout: committed files and new ones that are not ignored.
    pub(super) fn read() -> anyhow::Result<Self> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(project::root());
        let mut files = BTreeMap::new();
        for path in shell::output(&mut git)?.lines() {
            // A file that is not text, or was just removed, has nothing to check.
            if let Ok(text) = std::fs::read_to_string(project::root().join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Self::of(files, packages()?))
    }

    /// A tree of these files and packages.
    pub(super) fn of(files: BTreeMap<String, String>, packages: Vec<Package>) -> Self {
        let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let sources = rust.map(|(path, text)| (path.clone(), Source::read(text))).collect();
        Self { files, sources, packages }
    }

    /// A tree of one file, for the rules' tests.
    #[cfg(test)]
    pub(super) fn with(path: &str, text: &str) -> Self {
        Self::of(BTreeMap::from([(path.to_owned(), text.to_owned())]), Vec::new())
    }
}

fn packages() -> anyhow::Result<Vec<Package>> {
    let metadata =
        MetadataCommand::new().current_dir(project::root()).no_deps().exec().context("ask cargo")?;
    let ours: Vec<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    Ok(metadata.packages.iter().map(|package| read_package(package, &ours)).collect())
}

fn read_package(package: &cargo_metadata::Package, ours: &[String]) -> Package {
    let said = &package.metadata["mainstay"];
    let uses = |dev: bool| {
        let edges =
            package.dependencies.iter().filter(|edge| (edge.kind == DependencyKind::Development) == dev);
        edges.map(|edge| edge.name.clone()).filter(|name| ours.contains(name)).collect()
    };
    Package {
        name: package.name.to_string(),
        ring: said["ring"].as_u64(),
        plumbing: said["plumbing"].as_bool().unwrap_or(false),
        features: package.features.keys().filter(|name| *name != "default").cloned().collect(),
        uses: uses(false),
        tests_use: uses(true),
    }
}
