//! `components`: the folder of resource files. What is in them is `resources`' to say.

use std::path::{Path, PathBuf};

use mainstay_core::codes;

use super::Lowering;
use crate::diagnostic::short;
use crate::resources::{self, File, Loaded, Surroundings};

/// Files of a folder; further ones are refused.
const FILES_MAX: usize = 1_000;

const POINTER: &str = "/components";

impl Lowering<'_, '_> {
    /// What the resource files say. A folder or file that cannot be read is a fault of the spec.
    pub(super) fn components(&mut self, written: Option<&str>) -> Loaded {
        let Some(written) = written else { return Loaded::default() };
        let folder = self.inputs.source.folder.join(written);
        let paths = match self.inputs.files.list(&folder) {
            Ok(paths) => in_order(paths),
            Err(error) => {
                let message = format!("cannot read the folder `{}`: {error}", short(written));
                let help = "it is relative to the spec's folder".to_owned();
                self.fault(POINTER, &codes::CONFIG_FILE, message, Some(help));
                return Loaded::default();
            }
        };
        if paths.is_empty() {
            let message = format!("there is no `.yaml` or `.yml` file in `{}`", short(written));
            self.warn(POINTER, &codes::CONFIG_FILE, message, None);
        }
        if paths.len() > FILES_MAX {
            let message = format!("there are more than {FILES_MAX} files in `{}`", short(written));
            self.fault(POINTER, &codes::CONFIG_FILE, message, None);
            return Loaded::default();
        }
        let texts = self.texts(written, &paths);
        let files: Vec<File<'_>> = texts.iter().map(|(name, text)| File { name, text }).collect();
        let variables = |name: &str| self.inputs.files.variable(name);
        let (types, models) = (self.inputs.kinds.components, self.model_names());
        resources::load(&files, &Surroundings { types, variables: &variables, models: Some(&models) })
    }

    /// The names of the spec's models, the one that nobody wrote among them, sorted.
    fn model_names(&self) -> Vec<String> {
        let mut names = self.defined("models");
        names.extend(self.implicit_model().map(|implicit| implicit.name.to_string()));
        names.sort();
        names
    }

    /// The texts of the files that can be read, with names as a user of the spec's name would write them.
    fn texts(&mut self, written: &str, paths: &[PathBuf]) -> Vec<(String, String)> {
        let shown = Path::new(self.inputs.source.name).parent().unwrap_or(Path::new("")).join(written);
        let mut texts = Vec::with_capacity(paths.len());
        for path in paths {
            let name = path.file_name().unwrap_or_default();
            match self.inputs.files.read(path) {
                Ok(text) => texts.push((shown.join(name).display().to_string(), text)),
                Err(error) => {
                    let message = format!("cannot read `{}`: {error}", short(&name.to_string_lossy()));
                    self.fault(POINTER, &codes::CONFIG_FILE, message, None);
                }
            }
        }
        texts
    }
}

/// The resource files among the entries of a folder, by name.
fn in_order(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_yaml = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("yaml") || ending.eq_ignore_ascii_case("yml"))
    };
    paths.retain(is_yaml);
    paths.sort();
    paths
}
