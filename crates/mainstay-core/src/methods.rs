//! The port of an app whose methods are called by message: a method's name and bytes go in, bytes or a code come out.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Ctx, Result};

/// A call of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodCall {
    /// The method's name.
    pub method: String,
    /// The verb of a call that came as a request, upper case; empty for one that has none.
    pub verb: String,
    /// The query of such a call, without the question mark.
    pub query: String,
    /// What `data` is.
    pub content_type: String,
    /// The type of `data` where it is a message of its own, as a URL.
    pub type_url: String,
    /// The content.
    pub data: Bytes,
    /// What the caller says besides, by lower-case names.
    pub metadata: Vec<(String, String)>,
}

/// What a method answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodAnswer {
    /// How it ended.
    pub status: CallStatus,
    /// What `data` is.
    pub content_type: String,
    /// The type of `data` where it is a message of its own, as a URL.
    pub type_url: String,
    /// The content; empty when it failed.
    pub data: Bytes,
    /// What the app says besides, by lower-case names.
    pub metadata: Vec<(String, String)>,
}

/// How a remote call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStatus {
    /// The code, 0 to 16; 0 is success.
    pub code: u8,
    /// What it says.
    pub message: String,
    /// What it says besides, encoded as the protocol has it.
    pub details: Bytes,
}

/// The port. Members do not retry.
#[async_trait]
pub trait AppMethods: Send + Sync {
    /// Calls a method. What the app itself answers is an answer, its failures too. Bounded by the context's deadline.
    /// Errors: `APP_UNAVAILABLE` when it cannot be reached, so that nothing was called; `APP_FAILED` when its answer is
    /// none; `DEADLINE_EXCEEDED`.
    async fn call(&self, ctx: &Ctx, call: MethodCall) -> Result<MethodAnswer>;
}
