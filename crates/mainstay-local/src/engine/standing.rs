//! Whether a model's file can be used, for who asks without loading it. Remembers what the loading said of a file.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use mainstay_core::{Code, Error, Result};

use super::EngineOptions;
use crate::gguf::{file_name, unusable};

/// What the latest loading came to.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Failure>>);

/// A loading that failed, and the file that it failed with.
#[derive(Debug)]
struct Failure {
    file: Version,
    code: &'static Code,
    message: String,
    help: Option<String>,
}

/// When a file was written and how long it is; `None` while there is none.
pub(super) type Version = Option<(SystemTime, u64)>;

/// A file as it is now.
pub(super) fn version(file: &Path) -> Version {
    file.metadata().and_then(|meta| Ok((meta.modified()?, meta.len()))).ok()
}

impl Standing {
    /// Whether loading is worth a try. A file that has changed since the last one is.
    pub(super) fn look(&self, options: &EngineOptions) -> Result<()> {
        present(options)?;
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(failure) if failure.file == version(&options.file) => Err(failure.error()),
            _ => Ok(()),
        }
    }

    /// Keeps what a loading came to, of the file as it was before.
    pub(super) fn note<T>(&self, file: Version, outcome: &Result<T>) {
        let failure = outcome.as_ref().err().map(|error| Failure {
            file,
            code: error.code(),
            message: error.message().to_owned(),
            help: error.help().map(str::to_owned),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl Failure {
    fn error(&self) -> Error {
        let error = Error::new(self.code, self.message.clone());
        match &self.help {
            Some(help) => error.with_help(help.clone()),
            None => error,
        }
    }
}

/// Whether the file is there. Errors: `MODEL_FILE_UNAVAILABLE` with the help that the options give.
pub(super) fn present(options: &EngineOptions) -> Result<()> {
    if options.file.exists() {
        return Ok(());
    }
    let error = unusable(&file_name(&options.file), "there is no such file");
    Err(error.with_help(options.missing_help.clone()).with_internal(options.file.display().to_string()))
}
