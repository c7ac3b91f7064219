//! What a dialect offers, as one table of functions, so that providers and fronts are written once for all of them.
//!
//! It holds no dialect's rules; those are in the dialect's own folder.

use bytes::Bytes;
use mainstay_core::model::{Completion, ModelEvent, ModelRequest, Usage};
use mainstay_core::provider::{Dialect, ModelCard, Tap};
use mainstay_core::{Error, Result};

use crate::envelope::Envelope;
use crate::sse::Frame;

/// A dialect.
///
/// ```text
///   front:    envelope / decode_request          encode_response, encoder, encode_error   (server side)
///   provider: encode_request                     decode_response, decoder, decode_error   (client side)
///   both:     tap, tap_body  (notice usage in bytes that are passed through)
/// ```
pub struct Codec {
    /// Its name.
    pub dialect: Dialect,
    /// Reads from a request what passing it through needs. Errors: `INVALID_JSON` with line and column,
    /// `INVALID_FIELD`.
    pub envelope: for<'a> fn(&'a [u8]) -> Result<Envelope<'a>>,
    /// Reads a request whole. Unknown top-level fields go to `rest`; what has no canonical form deeper down goes
    /// there under its dotted path. Errors: `INVALID_JSON`, `INVALID_FIELD` naming the field.
    pub decode_request: fn(&[u8]) -> Result<ModelRequest>,
    /// Writes a request for a provider of this dialect.
    pub encode_request: fn(&ModelRequest, &EncodeOptions) -> Encoded,
    /// Reads a whole answer. Errors: `PROVIDER_BAD_RESPONSE`, and what an error object in it means.
    pub decode_response: fn(&[u8], &Hints) -> Result<Vec<ModelEvent>>,
    /// Starts reading a streamed answer.
    pub decoder: fn(Hints) -> Box<dyn StreamDecoder>,
    /// Writes a whole answer.
    pub encode_response: fn(&Completion, &ReplyOptions) -> Bytes,
    /// Starts writing a streamed answer.
    pub encoder: fn(ReplyOptions) -> Box<dyn StreamEncoder>,
    /// The status with which this dialect's own service would answer such an error.
    pub status: fn(&Error) -> u16,
    /// Writes an error body in the dialect's shape; the second argument is the request id.
    pub encode_error: fn(&Error, Option<&str>) -> Bytes,
    /// Writes an error as the last frame of a stream that has begun.
    pub encode_stream_error: fn(&Error, Option<&str>) -> Bytes,
    /// What a failed answer means.
    pub decode_error: fn(&ErrorAnswer<'_>) -> Error,
    /// Writes a list of models; the second argument is the time shown as their creation, in Unix seconds.
    pub encode_models: fn(&[ModelCard], u64) -> Bytes,
    /// Reads a list of models. Errors: `PROVIDER_BAD_RESPONSE`.
    pub decode_models: fn(&[u8]) -> Result<ModelPage>,
    /// Notices model, usage, finish reason and failure in a frame of a stream. Never fails: what it cannot read it
    /// ignores.
    pub tap: fn(&mut TapState, &Frame) -> Seen,
    /// The same for a whole answer.
    pub tap_body: fn(&[u8]) -> Seen,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("dialect", &self.dialect.0).finish_non_exhaustive()
    }
}

/// What a provider's settings say of how requests are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Output tokens to ask for where the dialect demands a number and the request says nothing.
    pub max_tokens_default: u32,
    /// Whether the output bound goes by the older name `max_tokens`, which most OpenAI-compatible servers know.
    pub legacy_max_tokens: bool,
    /// Whether reasoning and call signatures go back with the conversation, where the dialect has no field of its own
    /// for them.
    pub send_reasoning: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { max_tokens_default: 4096, legacy_max_tokens: false, send_reasoning: false }
    }
}

/// A request as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The body.
    pub body: Bytes,
    /// Fields of the request that the dialect cannot carry, as dotted paths, in order of discovery.
    pub dropped: Vec<String>,
    /// What reading the answer needs to know of the request.
    pub hints: Hints,
}

/// What reading an answer needs to know of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The tool that stands for the answer's schema: its arguments are the answer's text.
    pub structured_tool: Option<String>,
}

/// What writing an answer needs besides the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyOptions {
    /// The answer's id where the provider gave none.
    pub id: String,
    /// The answer's time, in Unix seconds.
    pub created_s: u64,
    /// Whether a stream ends with a usage event, where the dialect leaves that to the caller.
    pub include_usage: bool,
}

/// Reads a streamed answer, frame by frame.
pub trait StreamDecoder: Send {
    /// Takes the next frame and appends its events. Errors: `PROVIDER_BAD_RESPONSE`, and what an error event in the
    /// stream means; after an error the decoder is spent.
    fn push(&mut self, frame: &Frame, out: &mut Vec<ModelEvent>) -> Result<()>;

    /// Whether the closing event was seen: what follows is of no interest.
    fn done(&self) -> bool;

    /// The stream is over: appends what was held back (usage, finish). Errors: `PROVIDER_BAD_RESPONSE` when the
    /// closing event is missing; usage known so far is appended before that.
    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<()>;
}

/// Writes a streamed answer, event by event. Frames may be empty (nothing to say yet) or hold several wire events.
pub trait StreamEncoder: Send {
    /// The bytes for the next event.
    fn push(&mut self, event: &ModelEvent) -> Bytes;

    /// The closing bytes of an answer that came whole.
    fn end(&mut self) -> Bytes;
}

/// A failed answer, as received.
pub struct ErrorAnswer<'a> {
    /// The status.
    pub status: u16,
    /// Looks up a header by its lowercase name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The body, or the beginning of it.
    pub body: &'a [u8],
}

impl std::fmt::Debug for ErrorAnswer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ErrorAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A page of a list of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPage {
    /// The models.
    pub models: Vec<ModelCard>,
    /// What to ask for the next page with, if there is one.
    pub next: Option<String>,
}

/// What the tap remembers between the frames of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapState {
    /// Usage so far; dialects report it in pieces.
    pub usage: Usage,
    /// Whether the stream's closing event was seen. A stream that ends without it was cut.
    pub complete: bool,
}

/// What the tap saw in one frame.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was noticed; `None` for most frames.
    pub tap: Option<Tap>,
    /// Whether the frame carries usage and nothing else, so that it can be left out.
    pub usage_only: bool,
    /// What the failure means that the frame reports; its code is in the tap too.
    pub failure: Option<Error>,
}

impl Seen {
    /// What was noticed, and how the answer failed, if it did.
    pub(crate) fn new(tap: Tap, failure: Option<Error>) -> Self {
        let tap = Tap { failure: failure.as_ref().map(Error::code), ..tap };
        let says = tap.usage.is_some() || tap.finish.is_some() || tap.failure.is_some();
        Self { tap: says.then_some(tap), usage_only: false, failure }
    }
}
