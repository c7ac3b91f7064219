//! How the image is built: from what is started and from the names of the files beside the spec.

use mainstay_core::plan::Language;
use mainstay_core::{Error, Result, codes};

use super::Project;

/// How the image is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// From the binary and the spec's folder: agents are declared, and apps run elsewhere.
    Bare,
    /// With an app beside the binary.
    App(Source),
}

/// What an app is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `uv.lock` says which packages of Python's it needs.
    Uv,
    /// A `requirements.txt` does.
    Pip,
    /// A `package-lock.json` says which packages of Node's it needs.
    Npm,
    /// A `Cargo.lock` says which crates it needs.
    Cargo,
}

pub(super) fn of(project: &Project<'_>) -> Result<Build> {
    let mut processes = project.plan.processes();
    if !processes.any(|(_, process)| process.command.is_some()) {
        return Ok(Build::Bare);
    }
    let has = |name: &str| project.files.iter().any(|file| file == name);
    let found = |language| match language {
        Language::Python if has("uv.lock") => Some(Source::Uv),
        Language::Python if has("requirements.txt") => Some(Source::Pip),
        Language::Node if has("package-lock.json") => Some(Source::Npm),
        Language::Rust if has("Cargo.lock") => Some(Source::Cargo),
        Language::Python | Language::Node | Language::Rust => None,
    };
    let source = match project.plan.deploy.language {
        Some(language) => found(language),
        None => [Language::Python, Language::Node, Language::Rust].into_iter().find_map(found),
    };
    source.map(Build::App).ok_or_else(|| {
        let message = "an app is started by a command, and nothing beside the spec says what it is built from";
        Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(
            "put `uv.lock` or `requirements.txt` (Python), `package-lock.json` (Node.js) or `Cargo.lock` (Rust) beside \
             `mainstay.yaml`: an image is built from what is locked",
        )
    })
}
