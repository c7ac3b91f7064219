//! What the head of a call says: whether it is gRPC at all, until when its caller waits, and under which trace it is
//! made.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, Request, StatusCode, Version, header};
use mainstay_core::{Ctx, Principal, RequestId};

/// Metadata in binary comes with padding and without (gRPC over HTTP/2, "Requests").
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Refuses what is no gRPC call, for such a caller reads no gRPC status.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), StatusCode> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = content_type.strip_prefix(b"application/grpc");
    if !rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    // Trailers, which carry the status, are not to be had otherwise.
    if request.version() != Version::HTTP_2 {
        return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    }
    Ok(())
}

/// The context of a call.
pub(crate) fn context(headers: &HeaderMap) -> Ctx {
    let mut ctx = Ctx::new(RequestId::generate(), Principal::Anonymous);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(end) =
        text("grpc-timeout").and_then(timeout).and_then(|time| Instant::now().checked_add(time))
    {
        ctx = ctx.with_deadline(end);
    }
    // Older clients send the binary form; where both stand, it is the one that the protocol looks at first.
    let ctx = match text("grpc-trace-bin").and_then(traceparent) {
        Some(trace) => ctx.with_traceparent(&trace),
        None => ctx.with_traceparent(text("traceparent").unwrap_or_default()),
    };
    ctx.with_tracestate(text("tracestate").unwrap_or_default())
}

/// How long the caller waits: at most eight digits and a unit. `None` for what is neither.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A W3C `traceparent` from the binary form: version 0, then fields of a number and a fixed length, of which 0 is the
/// trace's id (16 bytes), 1 the span's (8) and 2 the flags (1).
fn traceparent(text: &str) -> Option<String> {
    let bytes = BINARY.decode(text).ok()?;
    let rest = bytes.strip_prefix(&[0, 0])?;
    let (trace, rest) = rest.split_at_checked(16)?;
    let (span, rest) = rest.strip_prefix(&[1])?.split_at_checked(8)?;
    let flags = rest.strip_prefix(&[2])?.first()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(format!("00-{}-{}-{flags:02x}", hex(trace), hex(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let check = |text: &str, expect: Option<Duration>| assert_eq!(timeout(text), expect, "{text:?}");
        check("5S", Some(Duration::from_secs(5)));
        check("250m", Some(Duration::from_millis(250)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3_600)));
        check("1n", Some(Duration::from_nanos(1)));
        for bad in ["", "S", "5", "5s", "123456789S", "-5S", "5 S", "+5S", "5é"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_trace_is_read_in_both_forms() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let check = |name: &'static str, value: &'static str, expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(context(&headers).traceparent(), expect, "{name}: {value}");
        };
        check("traceparent", text, Some(text));
        check("grpc-trace-bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", Some(text));
        check("grpc-trace-bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", Some(text));
        check("grpc-trace-bin", "AABL", None);
        check("grpc-trace-bin", "?", None);
    }

    #[test]
    fn what_is_no_grpc_is_refused() {
        let check = |version: Version, content_type: &str, expect: Result<(), StatusCode>| {
            let request = Request::builder().version(version).header("content-type", content_type);
            assert_eq!(super::check(&request.body(()).unwrap()), expect, "{content_type}");
        };
        for good in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            check(Version::HTTP_2, good, Ok(()));
        }
        for bad in ["", "application/json", "application/grpc-web", "text/html"] {
            check(Version::HTTP_2, bad, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        check(Version::HTTP_11, "application/grpc", Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED));
    }
}
