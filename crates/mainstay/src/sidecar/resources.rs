//! The resource files of a sidecar: which there are, and what they say. Faults are explained on the terminal.

use std::path::{Path, PathBuf};

use mainstay_config::resources::{self, File, Surroundings};
use mainstay_core::resources::Resources;
use mainstay_core::{Error, codes};

use super::flags::Options;
use crate::wire::sidecar as registry;
use crate::{environment, exit, spec, terminal};

/// Bytes of a resource file that are read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What there is where nobody names resources: the components that `dapr init` makes, inside the process.
const BUILT_IN: (&str, &str) = (
    "built-in",
    "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: statestore }
spec: { type: state.embedded, version: v1, metadata: [{ name: actorStateStore, value: \"true\" }] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: pubsub }
spec: { type: pubsub.embedded, version: v1, metadata: [] }
",
);

/// The files that the flags name. Errors: a folder that cannot be read.
pub(super) fn paths(options: &Options) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for folder in &options.resource_folders {
        paths.extend(files_in(folder)?);
    }
    paths.extend(options.config_files.iter().cloned());
    Ok(paths)
}

/// Reads the files that the flags name. Errors: a folder or file that cannot be read; `Explained` for faults in them.
pub(super) fn load(options: &Options, plugged: &[registry::Plugged]) -> anyhow::Result<Resources> {
    let paths = paths(options)?;
    let texts = paths.iter().map(|path| Ok((path.display().to_string(), read(path)?)));
    let mut texts = texts.collect::<anyhow::Result<Vec<_>>>()?;
    if options.built_in && options.resource_folders.is_empty() {
        tracing::info!(
            "no resources are named: the components `statestore` and `pubsub` are inside this process"
        );
        texts.push((BUILT_IN.0.to_owned(), BUILT_IN.1.to_owned()));
    }
    let files: Vec<File<'_>> = texts.iter().map(|(name, text)| File { name, text }).collect();
    let types = registry::types_and(plugged);
    let surroundings = Surroundings {
        types: Some(resources::Types { types: &types, check: &registry::check }),
        variables: &environment::variable,
        models: None,
    };
    let loaded = resources::load(&files, &surroundings);
    for warnings in &loaded.warnings {
        spec::warn(warnings);
    }
    if loaded.faults.is_empty() {
        return Ok(loaded.resources);
    }
    let coloured = terminal::coloured(&std::io::stderr());
    for faults in &loaded.faults {
        terminal::complain(&faults.render(coloured));
    }
    Err(exit::Explained(exit::CONFIGURATION).into())
}

/// Resources as an app is to have them.
pub(super) fn for_app(mut resources: Resources, app_id: &str) -> Resources {
    tell_what_is_not_built(&resources);
    let namespace = environment::namespace().unwrap_or_default();
    resources.subscriptions.retain(|subscription| subscription.is_for(app_id, &namespace));
    resources
}

/// Says what the files ask for and does not happen yet.
fn tell_what_is_not_built(resources: &Resources) {
    if !resources.runtime.tracing.exporters.is_empty() {
        tracing::warn!("traces are not sent yet");
    }
}

/// The resource files directly in a folder, in the order of their names.
fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        Error::new(&codes::CONFIG_FILE, format!("cannot read the folder `{}`: {error}", folder.display()))
            .with_help("`--resources-path` names a folder of resource files")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let fault =
        |why: String| Error::new(&codes::CONFIG_FILE, format!("cannot read `{}`: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(fault(format!("it is larger than {FILE_BYTES_MAX} bytes")).into());
    }
    Ok(std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?)
}
