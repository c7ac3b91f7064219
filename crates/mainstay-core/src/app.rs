//! The port of an app agent: the user's own service behind our run log.

use async_trait::async_trait;
use serde_json::Value;

use crate::model::Usage;
use crate::run::RunInput;
use crate::{BoxStream, Ctx, Result, RunId, SessionId};

/// What the app is asked.
#[derive(Clone, Debug)]
pub struct AppRequest {
    /// The run, so that the app can correlate.
    pub run: RunId,
    /// The conversation, if there is one.
    pub session: Option<SessionId>,
    /// What was asked.
    pub input: RunInput,
    /// The same for every attempt of this run.
    pub idempotency_key: String,
    /// Whether to ask for the answer piece by piece.
    pub stream: bool,
}

/// A step of the app's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AppEvent {
    /// More text.
    Text(String),
    /// An event of the app's own.
    Custom {
        /// Its name.
        name: String,
        /// Its content.
        data: Value,
    },
    /// The answer is whole; nothing follows.
    Done(AppOutput),
}

/// What the app answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppOutput {
    /// The whole answer; empty when it came in pieces.
    pub answer: String,
    /// The model the app says it used.
    pub model: Option<String>,
    /// Why it ended, in the app's word; `stop` when it says none.
    pub finish_reason: Option<String>,
    /// Tokens the app reports.
    pub usage: Option<Usage>,
}

/// The port. The answer's events, then `Done`, or an error as the last item.
#[async_trait]
pub trait App: Send + Sync {
    /// Asks the app once; never retries. Bounded by the context's deadline. Cancel by dropping: the connection is
    /// closed. Errors: `APP_UNAVAILABLE` when it cannot be reached or does not come up in time, `APP_FAILED` for an
    /// answer of 5xx or one that breaks the contract, `APP_REJECTED` for 4xx, `DEADLINE_EXCEEDED`.
    async fn invoke(&self, ctx: &Ctx, request: AppRequest) -> Result<BoxStream<Result<AppEvent>>>;

    /// Whether the app answers its health check now. Errors: `APP_UNAVAILABLE` with the reason.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Stops the app's process, if we started it: asks, waits up to `grace`, then kills. Idempotent.
    async fn stop(&self, grace: std::time::Duration);
}
