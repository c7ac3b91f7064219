//! The port of an app that callers reach: a request goes in as it came, its answer comes out as it comes.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::middleware::Pieces;
use crate::{Ctx, Result};

/// Headers in their order, their names in lower case.
pub type Headers = Vec<(String, Bytes)>;

/// A request on its way to an app, without what belongs to the connection it came by.
pub struct Request {
    /// Its method, as it came.
    pub method: String,
    /// Its path and query, as they came; begins with `/`.
    pub target: String,
    /// Its headers, those that say where it comes from included.
    pub headers: Headers,
    /// Its body. An error in it ends the call: the app must not take half a body for a whole one.
    pub body: Pieces,
    /// The body's length in bytes, where it is known.
    pub length: Option<u64>,
}

/// An app's answer, without what belongs to its connection.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Headers,
    /// Its body, empty where the request or the status allows none. An error in it means that it broke off.
    pub body: Pieces,
    /// The body's length in bytes, where it is known.
    pub length: Option<u64>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The port. Calls are made side by side, each once.
#[async_trait]
pub trait Forward: Send + Sync {
    /// Passes a request on and returns when the answer's head is there; whatever the app answers is an answer. Never
    /// retries. The context's deadline bounds the wait for the head. Cancel by dropping, the future or the answer's
    /// body: the connection is closed. Errors: `APP_UNAVAILABLE` when the app cannot be reached or does not come up in
    /// time, so that nothing was sent; `APP_FAILED` when there is no sound answer; `DEADLINE_EXCEEDED`.
    async fn forward(&self, ctx: &Ctx, request: Request) -> Result<Answer>;

    /// Whether the app answers its health check now. Errors: `APP_UNAVAILABLE` with the reason.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;
}
