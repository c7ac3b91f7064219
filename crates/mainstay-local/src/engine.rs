//! A model file behind a queue: one thread computes one answer after another, so that the threads that serve requests
//! never do. Loading begins in the background at once; callers wait for it in the queue. Engines of the same file and
//! bounds share one thread and one model.
//!
//! ```text
//! complete() ── queue (bounded; full = OVERLOADED) ──► thread: load once ─► prompt ─► tokens ──► events ──► caller
//!                                                              a dropped caller is noticed at the next token ◄──┘
//! ```

mod generation;
mod loaded;
mod shared;
mod standing;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use mainstay_core::model::{ModelEvent, ModelRequest, ModelStream};
use mainstay_core::{Error, Result, codes};
use tokio::sync::mpsc;

use standing::Standing;
use worker::Job;

/// What an [`Engine`] runs and how much it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// The GGUF file.
    pub file: PathBuf,
    /// What the model is called in answers.
    pub name: String,
    /// Most tokens of a conversation, prompt and answer together; the model's own limit holds where it is smaller.
    pub context_tokens_max: usize,
    /// Most tokens of an answer where the request does not say.
    pub answer_tokens_default: u32,
    /// Threads that compute.
    pub threads: usize,
    /// Requests that may wait; further ones are refused.
    pub queue_max: usize,
    /// What to do when the file is not there.
    pub missing_help: String,
}

impl EngineOptions {
    /// Options for a file: 4096 tokens of context, 1024 of an answer, at most 4 threads, 32 waiting requests.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            file: file.into(),
            name: name.into(),
            context_tokens_max: 4096,
            answer_tokens_default: 1024,
            threads: available.min(4),
            queue_max: 32,
            missing_help: "run `mainstay models pull` to fetch it, or put the file there".to_owned(),
        }
    }
}

/// A running model under a name. Dropping the last one of a model ends its thread once the answer at hand is done.
#[derive(Debug)]
pub struct Engine {
    name: String,
    running: Arc<Running>,
}

/// The way to a model's thread.
#[derive(Debug)]
struct Running {
    jobs: mpsc::Sender<Job>,
    events_max: usize,
    options: EngineOptions,
    standing: Arc<Standing>,
}

impl Engine {
    /// Starts the thread, which begins to load the file; or joins an engine that differs in its name alone. A file that
    /// cannot be loaded is reported by each [`Engine::complete`], which tries again: a file that was pulled in the
    /// meantime is found.
    ///
    /// # Errors
    /// `INTERNAL` when no thread can be started.
    pub fn open(options: EngineOptions) -> Result<Self> {
        let name = options.name.clone();
        Ok(Self { name, running: shared::running(options)? })
    }

    /// Whether the model can be asked: its file is there, and was not found unusable as it is now. A model that is
    /// being loaded can: callers wait for it. Quick.
    ///
    /// # Errors
    /// `MODEL_FILE_UNAVAILABLE`, `INTERNAL`: what stood in the way of loading.
    pub fn ready(&self) -> Result<()> {
        self.running.standing.look(&self.running.options)
    }

    /// Asks the model. Returns when the answer begins: the queue has come to it, the model is loaded and the prompt
    /// fits. Cancel by dropping the future or the stream. Past `deadline` the answer ends with an error.
    ///
    /// # Errors
    /// `OVERLOADED` when the queue is full, `MODEL_FILE_UNAVAILABLE` when the file cannot be used,
    /// `PROVIDER_INVALID_REQUEST` when the prompt does not fit, `UNSUPPORTED` for pictures and JSON formats,
    /// `PROVIDER_TIMEOUT` past the deadline.
    pub async fn complete(&self, deadline: Option<Instant>, request: ModelRequest) -> Result<ModelStream> {
        let Running { jobs, events_max, .. } = &*self.running;
        let (events, mut received) = mpsc::channel(*events_max);
        jobs.try_send(Job { request, name: self.name.clone(), deadline, events }).map_err(|refused| {
            match refused {
                mpsc::error::TrySendError::Full(_) => {
                    Error::new(&codes::OVERLOADED, "too many requests wait for the local model")
                }
                mpsc::error::TrySendError::Closed(_) => Error::bug("the local model's thread has ended"),
            }
        })?;
        let first: ModelEvent = received
            .recv()
            .await
            .unwrap_or_else(|| Err(Error::bug("the local model's thread gave no answer")))?;
        let rest = stream::poll_fn(move |context| received.poll_recv(context));
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }
}

impl Running {
    /// Starts a thread for a model.
    fn start(options: EngineOptions) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(options.queue_max.max(1));
        // An answer's events always fit, so a slow reader never holds up the next request: two per token at most.
        let events_max = options.context_tokens_max * 2 + 64;
        let standing = Arc::<Standing>::default();
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn({
                let (options, standing) = (options.clone(), Arc::clone(&standing));
                move || worker::run(options, waiting, &standing)
            })
            .map_err(|e| Error::bug("no thread for the local model").with_source(e))?;
        Ok(Self { jobs, events_max, options, standing })
    }
}

#[cfg(test)]
mod tests;
