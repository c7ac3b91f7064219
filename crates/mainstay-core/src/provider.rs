//! The port of a model vendor's endpoint: canonical calls, and bytes passed through in its own dialect.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::embedding::{EmbedRequest, Embeddings};
use crate::model::{FinishReason, ModelRequest, ModelStream, Usage};
use crate::{BoxStream, Code, Ctx, Error, Result, codes};

/// The name of a wire dialect, e.g. of an API family. Core knows none; the dialects crate names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dialect(pub &'static str);

/// What a provider can do. The conformance suite holds both ways: what is declared works, what is not declared
/// answers `Unsupported`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Dialects in which [`Provider::forward`] passes bytes through.
    pub dialects: &'static [Dialect],
    /// Tool calls.
    pub tools: bool,
    /// Pictures in the input.
    pub images: bool,
    /// Answers held to a JSON Schema.
    pub json_schema: bool,
    /// Whether [`Provider::models`] can list.
    pub lists_models: bool,
    /// Whether [`Provider::embed`] can embed.
    pub embeddings: bool,
}

/// A model on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The provider's name for it.
    pub id: String,
}

/// The port of a provider. Members do not retry, time out beyond the context's deadline, log, meter or cache.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What this provider can do. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Asks `request.model` and returns its events. What of the request is not sent is let go before the provider is
    /// waited for: calls are many and long, and this form of a request is large. The future ends when the provider
    /// accepted the call (its status is known); later failures come as the stream's last item. Fields that it could not
    /// carry are told first, as `Dropped`. Whatever comes from the provider shows in the stream, if only as `Alive`, so
    /// that the caller can bound the provider's silence. Errors: the `PROVIDER_*` codes; `PROVIDER_BAD_RESPONSE` when
    /// the answer ends without its dialect's closing event.
    async fn complete(&self, ctx: &Ctx, request: ModelRequest) -> Result<ModelStream>;

    /// Sends a request of one of `capabilities().dialects` as received but for its edits, and returns the answer's
    /// bytes as they come, error answers included. The future ends when the answer has begun: a stream with its first
    /// event that carries data, which together with what came before it is the beginning of the body. So a stream that
    /// fails at once is a failed answer, and how long to wait for a first event is the caller's to say. From then on
    /// whatever comes shows in the body, if only as an empty frame. Errors: `UNSUPPORTED` for another dialect;
    /// `PROVIDER_*` when no answer came, or something that is none (a redirect, a page, an empty body).
    async fn forward(&self, ctx: &Ctx, request: WireRequest) -> Result<WireResponse>;

    /// Whether a call can be tried, as far as this process knows by itself. Quick: asks no network. Most endpoints are
    /// elsewhere and nothing is known of them here; that is ready. Errors: `MODEL_FILE_UNAVAILABLE`, `INTERNAL`.
    fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// The models on offer. Errors: `UNSUPPORTED` where the endpoint has no list; `PROVIDER_*`.
    async fn models(&self, ctx: &Ctx) -> Result<Vec<ModelCard>>;

    /// Embeds texts with `request.model`: a vector for each, in their order, all of one length. Errors: `UNSUPPORTED`
    /// where `capabilities().embeddings` says so; `PROVIDER_*`.
    async fn embed(&self, _: &Ctx, _: EmbedRequest) -> Result<Embeddings> {
        Err(Error::new(&codes::UNSUPPORTED, "embed the text: the model's provider has no embeddings"))
    }
}

/// A request in a provider's own dialect.
#[derive(Clone, Debug)]
pub struct WireRequest {
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The provider's model name, to stand where the caller's stood.
    pub model: String,
    /// The body as received.
    pub body: Bytes,
    /// Where the value of `model` stands in the body, quotes included.
    pub model_span: Range<usize>,
    /// Further replacements that metering needs (e.g. asking for usage in a stream): disjoint, ascending, and not
    /// overlapping `model_span`. An empty range inserts.
    pub edits: Vec<(Range<usize>, &'static str)>,
    /// Whether the caller asked for a stream.
    pub stream: bool,
    /// Whether to keep the usage event out of the stream, because only metering asked for it.
    pub strip_usage: bool,
    /// Headers of the caller that the dialect passes on (versions, betas), lowercase names.
    pub headers: Vec<(&'static str, String)>,
}

/// An answer in a provider's own dialect.
pub struct WireResponse {
    /// The provider's status: one of success, or 400 and above.
    pub status: u16,
    /// Headers that the dialect passes back (content type, rate limits, request ids), lowercase names.
    pub headers: Vec<(String, String)>,
    /// For a status of 400 and above, and for an answer that is an error whatever its status says (a stream whose
    /// first event reports one): what it means, for fallback and for metrics.
    pub failure: Option<Error>,
    /// The body, frame by frame. Frames of a stream are whole events. A failed answer's body is bounded.
    pub body: BoxStream<Result<WireFrame>>,
}

impl std::fmt::Debug for WireResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireResponse")
            .field("status", &self.status)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Bytes to pass on, and what was noticed in them.
#[derive(Clone, Debug, Default)]
pub struct WireFrame {
    /// The bytes as received. Empty when the frame was stripped, and for a sign of life: a piece of a larger event
    /// came.
    pub bytes: Bytes,
    /// What was noticed; `None` for most frames.
    pub tap: Option<Box<Tap>>,
}

/// What the tap noticed in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tap {
    /// The model as returned.
    pub model: Option<String>,
    /// Cumulative usage.
    pub usage: Option<Usage>,
    /// Why the answer ended.
    pub finish: Option<FinishReason>,
    /// The frame reports that the answer failed, and this is what it means.
    pub failure: Option<&'static Code>,
}
