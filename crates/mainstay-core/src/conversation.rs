//! The port of a conversation component: a model, asked whole conversations and answering whole.

use async_trait::async_trait;

use crate::model::{Completion, ModelRequest};
use crate::{Ctx, Result};

/// The port of a conversation component. Members do not retry, log or cache.
#[async_trait]
pub trait Conversation: Send + Sync {
    /// Asks the model; its name in the request is the component's own affair. Not idempotent: each call is paid for.
    /// Errors: the `PROVIDER_*` codes, or `DEADLINE_EXCEEDED`.
    async fn converse(&self, ctx: &Ctx, request: ModelRequest) -> Result<Completion>;
}
