//! OpenAI chat completions: `POST {base}/chat/completions`.
//!
//! Written against SDK versions 1.109 and 3.52. The answers of compatible servers are read with what they get wrong:
//! calls without an index or with the same one, arguments as objects, `stop` for a turn that calls tools, a missing
//! `[DONE]`. It is not the Responses API.

mod decode_request;
mod encode_request;
mod envelope;
mod error;
mod finish;
mod models;
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
pub const DIALECT: Dialect = Dialect("openai_chat");

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
