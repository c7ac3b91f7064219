//! Gemini: `POST {base}/{v1beta|v1}/models/{model}:generateContent` and `:streamGenerateContent?alt=sse`.
//!
//! Written against SDK versions 1.75 and 3.4. Model and streaming stand in the path, so the body's envelope has
//! neither. Streams are read and written as server-sent events; the JSON-array form is not spoken.

mod decode_request;
mod encode_request;
mod envelope;
mod error;
mod finish_reason;
mod generation;
mod models;
mod parts;
mod response;
mod stream_decoder;
mod stream_encoder;
mod tap;
mod usage;

use mainstay_core::provider::Dialect;

use crate::Codec;

pub use decode_request::decode_request;
pub use encode_request::encode_request;
pub use envelope::envelope;
pub use error::{decode_error, encode_error, encode_stream_error, status};
pub use models::{decode_models, encode_models};
pub use response::{decode_response, encode_response};
pub use stream_decoder::Decoder;
pub use stream_encoder::Encoder;
pub use tap::{tap, tap_body};

/// Its name.
pub const DIALECT: Dialect = Dialect("gemini");

/// How ids begin that we made up because the provider gives none; they are never sent to it.
const MADE_UP_ID: &str = "gmc_";

/// Its functions.
pub static CODEC: Codec = Codec {
    dialect: DIALECT,
    envelope,
    decode_request,
    encode_request,
    decode_response,
    decoder: |_| Box::new(Decoder::default()),
    encode_response,
    encoder: |options| Box::new(Encoder::new(options)),
    status,
    encode_error,
    encode_stream_error,
    decode_error,
    encode_models,
    decode_models,
    tap,
    tap_body,
};
