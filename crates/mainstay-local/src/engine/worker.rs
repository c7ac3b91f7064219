//! The thread behind an engine: takes one request after another, loads the model when it is not there, and survives
//! whatever happens inside an answer.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use mainstay_core::model::{ModelEvent, ModelRequest};
use mainstay_core::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::mpsc;

use super::EngineOptions;
use super::generation::{self, Caller};
use super::loaded::Loaded;
use super::standing::{Standing, present, version};

/// A request, and where its events go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: ModelRequest,
    /// What the model is called in the answer.
    pub(super) name: String,
    pub(super) deadline: Option<Instant>,
    pub(super) events: mpsc::Sender<Result<ModelEvent>>,
}

/// Serves the queue until the engine is dropped.
pub(super) fn run(options: EngineOptions, mut jobs: mpsc::Receiver<Job>, standing: &Standing) {
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.threads.max(1))
        .thread_name(|index| format!("model-{index}"))
        .build();
    let pool = match pool {
        Ok(pool) => pool,
        Err(e) => {
            tracing::error!(cause = %e, "cannot start the local model's threads");
            return;
        }
    };
    let mut model = match load(&options, &pool, standing) {
        Ok(loaded) => Some(loaded),
        Err(failure) => {
            tell(&options, &failure);
            None
        }
    };
    while let Some(job) = jobs.blocking_recv() {
        if job.events.is_closed() {
            continue;
        }
        if model.is_none() {
            match load(&options, &pool, standing) {
                Ok(loaded) => model = Some(loaded),
                Err(failure) => {
                    let _ = job.events.try_send(Err(failure));
                    continue;
                }
            }
        }
        if let Some(loaded) = &mut model
            && !answer(job, &options, &pool, loaded)
        {
            // What broke in the middle may have left the conversation half written.
            model = None;
        }
    }
}

fn load(options: &EngineOptions, pool: &ThreadPool, standing: &Standing) -> Result<Loaded> {
    let file = version(&options.file);
    let load = || pool.install(|| Loaded::load(&options.file, options.context_tokens_max));
    let loaded = present(options).and_then(|()| {
        catch_unwind(AssertUnwindSafe(load))
            .unwrap_or_else(|_| Err(Error::bug("loading the local model panicked")))
    });
    standing.note(file, &loaded);
    loaded
}

fn tell(options: &EngineOptions, failure: &Error) {
    let detail = failure.source().map(ToString::to_string).or_else(|| failure.internal().map(str::to_owned));
    let (model, help) = (&options.name, failure.help());
    tracing::warn!(model, detail, help, "cannot load the local model: {failure}");
}

/// Whether the model is still sound afterwards.
fn answer(job: Job, options: &EngineOptions, pool: &ThreadPool, loaded: &mut Loaded) -> bool {
    let Job { request, name, deadline, events } = job;
    let caller = Caller { name: &name, events: &events, deadline };
    let work = || pool.install(|| generation::run(&request, options, loaded, &caller));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let sound = outcome.is_ok();
    if let Err(failure) = outcome.unwrap_or_else(|_| Err(Error::bug("the local model panicked"))) {
        let _ = events.try_send(Err(failure));
    }
    sound
}
