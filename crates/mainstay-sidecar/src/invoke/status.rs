//! How a call ended, between two runtimes: the answer's status is for whoever speaks HTTP, and these headers are for
//! whoever speaks gRPC, so that a code survives both translations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use mainstay_core::methods::CallStatus;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const CODE: &str = "mainstay-call-code";
const MESSAGE: &str = "mainstay-call-message";
const DETAILS: &str = "mainstay-call-details";
/// Bytes of a message that is passed on; the details hold at most as many.
const TEXT_BYTES_MAX: usize = 2048;

/// Writes it down.
pub(super) fn put(headers: &mut HeaderMap, status: &CallStatus) {
    let message = &status.message[..status.message.floor_char_boundary(TEXT_BYTES_MAX)];
    let details = if status.details.len() > TEXT_BYTES_MAX { &[][..] } else { &status.details };
    super::headers::set(headers, CODE, &status.code.to_string());
    super::headers::set(headers, MESSAGE, &utf8_percent_encode(message, NON_ALPHANUMERIC).to_string());
    super::headers::set(headers, DETAILS, &STANDARD.encode(details));
}

/// Takes it out, if it is there.
pub(super) fn take(headers: &mut HeaderMap) -> Option<CallStatus> {
    let mut text = |name: &str| Some(headers.remove(name)?.to_str().ok()?.to_owned());
    let (code, message, details) = (text(CODE), text(MESSAGE), text(DETAILS));
    Some(CallStatus {
        code: code?.parse().ok()?,
        message: percent_decode_str(&message?).decode_utf8_lossy().into_owned(),
        details: Bytes::from(STANDARD.decode(details?).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_once() {
        let mut headers = HeaderMap::new();
        let status =
            CallStatus {
                code: 5, message: "größe: 7\n%".to_owned(), details: Bytes::from_static(&[0, 255])
            };
        put(&mut headers, &status);
        assert_eq!(take(&mut headers), Some(status));
        assert!(headers.is_empty() && take(&mut headers).is_none());
    }
}
