//! The models that run in this process: a second engine of the same file and bounds takes the one that is there, so
//! that two providers, or a provider and its successor after a reload, do not hold the weights twice. It keeps none
//! running.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use mainstay_core::Result;

use super::standing::{Version, version};
use super::{EngineOptions, Running};

/// What runs, and of what. As many entries as there are models at work, and those that ended since the last look.
static RUNNING: Mutex<Vec<(Model, Weak<Running>)>> = Mutex::new(Vec::new());

/// What makes two engines the same.
#[derive(Debug, PartialEq, Eq)]
struct Model {
    /// With the path that all links lead to, and without a name.
    options: EngineOptions,
    /// When the file was written and how long it is; `None` while there is none. A file that was replaced is another.
    version: Version,
}

impl Model {
    fn of(mut options: EngineOptions) -> Self {
        options.name = String::new();
        options.file = options.file.canonicalize().unwrap_or(options.file);
        let version = version(&options.file);
        Self { options, version }
    }
}

/// The model of these options, started unless it runs. Errors: `INTERNAL` when no thread can be started.
pub(super) fn running(options: EngineOptions) -> Result<Arc<Running>> {
    let model = Model::of(options.clone());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|(_, open)| open.strong_count() > 0);
    let same = running.iter().find(|(other, _)| *other == model);
    if let Some(open) = same.and_then(|(_, open)| open.upgrade()) {
        return Ok(open);
    }
    let open = Arc::new(Running::start(options)?);
    running.push((model, Arc::downgrade(&open)));
    Ok(open)
}
