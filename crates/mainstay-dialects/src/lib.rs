//! Plumbing: pure translation between model wire dialects and the canonical request and events.
//!
//! Providers use a dialect from the client's side (encode a request, decode the answer), the HTTP fronts from the
//! server's side (decode a request, encode the answer): exact inverses, kept in one place. Nothing here performs
//! I/O, retries, logs or reads a clock.
//!
//! ★ To add a dialect: one file `<dialect>.rs` (with a folder of the same name) that ends in a `pub static CODEC`,
//! one line in [`ALL`], and goldens under `tests/goldens/` for each trap it has. The golden test walks [`ALL`].

pub mod anthropic;
pub mod codec;
mod counts;
pub mod embeddings;
pub mod envelope;
mod failure;
pub mod gemini;
mod ids;
mod object;
pub mod openai_chat;
mod origin;
mod rest;
mod scan;
mod schema;
pub mod sse;
mod status;
mod tap;
mod turns;

pub use codec::Codec;
pub use envelope::Envelope;

/// Every dialect.
pub static ALL: &[&Codec] = &[&openai_chat::CODEC, &anthropic::CODEC, &gemini::CODEC];

/// The dialect of this name.
#[must_use]
pub fn find(dialect: mainstay_core::provider::Dialect) -> Option<&'static Codec> {
    ALL.iter().copied().find(|codec| codec.dialect == dialect)
}
