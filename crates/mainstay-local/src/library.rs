//! The models on this machine: a folder of files, the catalogue of models that can be fetched by name, and the pull.
//! Where the folder is, is the caller's to say: nothing here reads the environment.

mod catalogue;
mod pull;

use std::path::{Path, PathBuf};

use mainstay_core::{Error, Result, codes};

pub use catalogue::{CATALOGUE, DEFAULT_MODEL, ModelEntry, find};
pub use pull::{INDEX_URL_DEFAULT, Progress, PullOptions, Source, pull};

/// A model of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// Its name, as specs say it.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The file's size in bytes; absent when it is not on this machine.
    pub bytes: Option<u64>,
    /// What the catalogue says of it; absent for a model that somebody put there.
    pub entry: Option<&'static ModelEntry>,
}

/// A folder of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    /// The library in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a model of this name is or would be. `None` for a name that is no file name.
    #[must_use]
    pub fn file(&self, model: &str) -> Option<PathBuf> {
        let plain = model.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        (plain && !model.is_empty() && !model.starts_with('.'))
            .then(|| self.folder.join(format!("{model}.gguf")))
    }

    /// The file of a model that is here.
    ///
    /// # Errors
    /// `MODEL_FILE_UNAVAILABLE` when it is not.
    pub fn installed(&self, model: &str) -> Result<PathBuf> {
        self.file(model).filter(|file| file.is_file()).ok_or_else(|| {
            Error::new(
                &codes::MODEL_FILE_UNAVAILABLE,
                format!("find the local model `{model}` on this machine"),
            )
            .with_help(match find(model) {
                Some(_) => format!("run `mainstay models pull {model}`"),
                None => "run `mainstay models list` to see what is here and what can be pulled".to_owned(),
            })
        })
    }

    /// The models of the catalogue, then the others in the folder by name.
    ///
    /// # Errors
    /// `MODEL_FILE_UNAVAILABLE` when the folder is there but cannot be read.
    pub fn list(&self) -> Result<Vec<ListedModel>> {
        let mut models: Vec<ListedModel> = CATALOGUE
            .iter()
            .map(|entry| {
                let file = self.folder.join(format!("{}.gguf", entry.name));
                let bytes = std::fs::metadata(&file).ok().map(|metadata| metadata.len());
                ListedModel { name: entry.name.to_owned(), file, bytes, entry: Some(entry) }
            })
            .collect();
        models.extend(self.others()?);
        Ok(models)
    }

    fn others(&self) -> Result<Vec<ListedModel>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => {
                let message = format!("read the models' folder `{}`", self.folder.display());
                return Err(Error::new(&codes::MODEL_FILE_UNAVAILABLE, message).with_source(e));
            }
        };
        let mut others: Vec<ListedModel> =
            entries.flatten().filter_map(|entry| other(&entry.path())).collect();
        others.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(others)
    }
}

/// A model file that is neither the catalogue's nor a quantised copy.
fn other(file: &Path) -> Option<ListedModel> {
    let name = file.file_name()?.to_str()?.strip_suffix(".gguf")?;
    if name.ends_with(".q8_0") || find(name).is_some() {
        return None;
    }
    let bytes = std::fs::metadata(file).ok()?.len();
    Some(ListedModel { name: name.to_owned(), file: file.to_owned(), bytes: Some(bytes), entry: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_lists_what_is_here_and_what_could_be() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(folder.path());
        for name in ["mine.gguf", "mine.q8_0.gguf", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"1234").unwrap();
        }
        let listed = library.list().unwrap();
        let told: Vec<_> = listed.iter().map(|m| (m.name.as_str(), m.bytes, m.entry.is_some())).collect();
        assert_eq!(told, [(DEFAULT_MODEL, None, true), ("mine", Some(4), false)]);
        assert_eq!(library.installed("mine").unwrap(), folder.path().join("mine.gguf"));
    }

    #[test]
    fn a_missing_model_says_how_to_get_it() {
        let error = Library::new("/nonexistent").installed(DEFAULT_MODEL).unwrap_err();
        assert_eq!(error.code().id, "MODEL_FILE_UNAVAILABLE");
        assert_eq!(error.help(), Some("run `mainstay models pull smollm2-135m-instruct`"));
        assert!(Library::new("/nonexistent").list().unwrap().iter().all(|model| model.bytes.is_none()));
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let library = Library::new("/models");
        for bad in ["", "../x", "a/b", ".hidden", "a b"] {
            assert_eq!(library.file(bad), None, "{bad:?}");
        }
        assert_eq!(library.file("llama-3.2"), Some("/models/llama-3.2.gguf".into()));
    }
}
