//! What went wrong at a vendor, as an error of the core.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Limited};
use mainstay_core::{Error, codes};
use mainstay_dialects::Codec;
use mainstay_dialects::codec::ErrorAnswer;
use mainstay_net::client::AnswerBody;
use mainstay_net::client::SendError;

use super::FAILURE_BYTES_MAX;

/// No answer came.
pub(super) fn unreachable(error: SendError) -> Error {
    let chain = error.chain();
    let what = match error {
        SendError::Connect(_) => "connect to the provider",
        SendError::Transport(_) => "get an answer from the provider: the connection broke",
        SendError::Refused(_) => "connect to the provider: its address is not allowed",
    };
    Error::new(&codes::PROVIDER_UNAVAILABLE, what).with_internal(chain)
}

/// A failed answer: what it means, and its body.
pub(super) async fn of_answer(codec: &Codec, answer: http::Response<AnswerBody>) -> (Error, Bytes) {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, FAILURE_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    (classify(codec, head.status.as_u16(), &head.headers, &body), body)
}

pub(super) fn classify(codec: &Codec, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    (codec.decode_error)(&ErrorAnswer { status, header: &header, body })
}
