//! The port of a binding: a system outside that operations go to, that events come from, or both.
//!
//! Data is bytes here; what an operation is called and what its metadata means are the adapter's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BoxStream, Ctx, Error, Result, codes};

/// What a binding can do. The conformance suite holds both ways: what is declared works, what is not answers
/// `UNSUPPORTED`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The operations that [`Binding::invoke`] knows, in the order they are shown; none where nothing goes out.
    pub operations: Vec<String>,
    /// Whether events come in ([`Binding::events`]).
    pub events: bool,
}

/// An operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// What it works with.
    pub data: Bytes,
    /// What the caller says besides, as the adapter documents it.
    pub metadata: BTreeMap<String, String>,
}

/// What came of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it gave.
    pub data: Bytes,
    /// What there is to say besides.
    pub metadata: BTreeMap<String, String>,
}

/// Something that happened outside. Dropped unsettled, it counts as failed.
pub struct Event {
    /// What happened.
    pub data: Bytes,
    /// What there is to say besides.
    pub metadata: BTreeMap<String, String>,
    /// Settles it.
    pub receipt: Box<dyn Receipt>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("bytes", &self.data.len())
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// Settles an event.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// It was worked on, and this is what came of it. Errors: `BINDING_FAILED`; then it may come again.
    async fn done(self: Box<Self>, answer: Bytes) -> Result<()>;

    /// It was not, for this reason. Whether it comes again is the source's to decide.
    async fn failed(self: Box<Self>, why: &str) -> Result<()>;
}

/// The port of a binding. Members do not retry, time out beyond the context's deadline, log, meter or cache.
///
/// Errors of every method: `BINDING_FAILED` when the other side cannot be reached, refuses or fails, or
/// `DEADLINE_EXCEEDED`.
#[async_trait]
pub trait Binding: Send + Sync {
    /// What this binding can do. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Whether the other side answers, where that can be asked without an effect.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Makes an operation; `None` where it gives nothing. One whose future is dropped may or may not have had its
    /// effect. Errors: `UNSUPPORTED` for an operation that is not declared; `INVALID_FIELD` for metadata or data it
    /// cannot use.
    async fn invoke(&self, _ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        Err(not_supported(&operation.name))
    }

    /// Listens from now on, or from where it was left, as the adapter documents it. Events that depend on each other's
    /// order come one at a time: the next when the one before is settled. The stream bounds what it has unsettled, and
    /// an error in it is its last item. Dropping it ends listening. Errors: `UNSUPPORTED`.
    async fn events(&self, _ctx: &Ctx) -> Result<BoxStream<Result<Event>>> {
        Err(Error::new(&codes::UNSUPPORTED, "listen to this binding: it has no events"))
    }
}

/// The error for an operation that a binding does not know.
#[must_use]
pub fn not_supported(operation: &str) -> Error {
    Error::new(&codes::UNSUPPORTED, format!("this binding has no operation `{operation}`"))
}
