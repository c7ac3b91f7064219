//! Anthropic messages: `POST {base}/v1/messages`.
//!
//! Written against SDK versions 0.125 and 2.11. Server tools and citations are passed through, not translated; token
//! counting and batches are other endpoints.

mod decode_request;
mod encode_request;
mod envelope;
mod error;
mod generation;
mod models;
mod response;
mod stop_reason;
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
pub const DIALECT: Dialect = Dialect("anthropic");

/// Where the raw text of arguments goes that are not a JSON object: the dialect has only objects.
const RAW_ARGUMENTS: &str = "raw_arguments";

/// Its functions.
pub static CODEC: Codec = Codec {
    dialect: DIALECT,
    envelope,
    decode_request,
    encode_request,
    decode_response,
    decoder: |hints| Box::new(Decoder::new(hints)),
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
