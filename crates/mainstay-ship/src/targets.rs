//! ★ Kinds of place that a service can be shipped to. To add one: a file in `targets/` with a `TARGET`, and a line in
//! `ALL`. The command line, the guide's table and the conformance of targets come from the list.
//!
//! A target renders files and says what it cannot express; it drops nothing in silence. Structured files are built as
//! values and written by `yaml`, never as text with holes: a value cannot be read as something else.

mod alerts;
mod argocd;
mod compose;
mod dapr;
mod docker;
mod flux;
mod github;
mod gitlab;
mod grafana;
mod helm;
pub(crate) mod kubernetes;
mod kustomize;
mod pipeline;
mod terraform;

use mainstay_core::Result;
use mainstay_core::plan::Environment;

pub use terraform::platforms;

use crate::{File, Project, Shipment, Workload};

/// A kind of place.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line, and of its folder.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Targets whose files it uses; they are written with it.
    pub needs: &'static [&'static str],
    /// Its files. Errors: `SHIP_UNSUPPORTED`, `SHIP_INCOMPLETE`.
    pub render: fn(&Shipment<'_>) -> Result<Rendered>,
}

/// Files, and what is worth knowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The files.
    pub files: Vec<File>,
    /// What the target cannot express, or leaves to the user: a sentence each.
    pub notes: Vec<String>,
}

/// Every target, in the order of the help.
pub static ALL: &[Target] = &[
    docker::TARGET,
    compose::TARGET,
    kubernetes::TARGET,
    kustomize::TARGET,
    helm::TARGET,
    terraform::TARGET,
    github::TARGET,
    gitlab::TARGET,
    argocd::TARGET,
    flux::TARGET,
    dapr::TARGET,
    alerts::TARGET,
    grafana::TARGET,
];

/// The service in each environment.
pub(crate) fn environments(project: &Project<'_>) -> Result<Vec<Workload>> {
    Environment::ALL.into_iter().map(|environment| Workload::of(project, environment)).collect()
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// The targets asked for and those whose files they use, in the order of the list.
#[must_use]
pub fn with_needs(asked: &[&'static Target]) -> Vec<&'static Target> {
    let wanted = |target: &&Target| {
        asked.iter().any(|one| one.name == target.name || one.needs.contains(&target.name))
    };
    ALL.iter().filter(wanted).collect()
}
