//! Failures as gRPC tells them: a status, and what else there is to say in `grpc-status-details-bin`.

use std::collections::BTreeMap;

use http::StatusCode;
use mainstay_core::Error;
use mainstay_dapr::fault::DOMAIN;
use mainstay_dapr::{Denied, Detail, Fault, Grpc};
use mainstay_proto::rpc;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

/// Bytes of a text in a failure. Failures travel as trailers, of which clients take 8 KiB, and a key that a caller
/// chose stands in more than one place.
const TEXT_BYTES_MAX: usize = 512;
/// Bytes of an answer over HTTP that is a failure (google.rpc.ErrorInfo bounds its values).
const HTTP_TEXT_BYTES_MAX: usize = 63;

/// The status of a failure, with the details that it has.
pub(crate) fn of(fault: &Fault) -> Status {
    let details = fault.details.iter().map(any).collect();
    with_details(Code::from_i32(fault.grpc as i32), &fault.message, details)
}

/// The same, with its code as the reason where nothing is said besides: what the protocol does for the failures of
/// state.
pub(crate) fn with_reason(fault: &Fault) -> Status {
    if !fault.details.is_empty() {
        return of(fault);
    }
    let reason = any(&Detail::ErrorInfo { reason: fault.code, metadata: Vec::new() });
    with_details(Code::from_i32(fault.grpc as i32), &fault.message, vec![reason])
}

/// The answer to a caller who is not let in.
pub(crate) fn of_denied(denied: Denied) -> Status {
    let why = match denied {
        Denied::Missing => "missing api token in request metadata",
        Denied::Wrong => "authentication error: api token mismatch",
    };
    of_http(StatusCode::UNAUTHORIZED, why)
}

/// The status of an answer over HTTP that is a failure, with the beginning of what it says.
pub(crate) fn of_http(status: StatusCode, text: &str) -> Status {
    let said = status.canonical_reason().unwrap_or_default();
    let text = &text[..text.floor_char_boundary(HTTP_TEXT_BYTES_MAX)];
    let metadata = [("http.code", status.as_str()), ("http.error_message", text)];
    let info = rpc::ErrorInfo {
        reason: said.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    let details = vec![packed("type.googleapis.com/google.rpc.ErrorInfo", &info)];
    let code = mainstay_dapr::invoke::code(status.as_u16());
    with_details(Code::from_i32(code.into()), said, details)
}

/// Tells the log of a failure that is not the caller's, with what callers must not see.
pub(crate) fn log(fault: &Fault, error: &Error) {
    let (code, message) = (fault.code, cut(&fault.message));
    let internal = error.internal().unwrap_or_default();
    match fault.grpc {
        Grpc::Internal | Grpc::Unavailable | Grpc::DeadlineExceeded => {
            tracing::warn!(code, internal, "a call failed: {message}");
        }
        _ => tracing::debug!(code, internal, "a call was refused: {message}"),
    }
}

fn with_details(code: Code, message: &str, details: Vec<Any>) -> Status {
    let message = cut(message);
    if details.is_empty() {
        return Status::new(code, message);
    }
    let status = rpc::Status { code: code as i32, message: message.to_owned(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

fn any(detail: &Detail) -> Any {
    let url = detail.type_url();
    match detail {
        Detail::ErrorInfo { reason, metadata } => {
            let metadata: BTreeMap<_, _> =
                metadata.iter().map(|(name, value)| ((*name).to_owned(), cut(value).to_owned())).collect();
            packed(url, &rpc::ErrorInfo { reason: (*reason).to_owned(), domain: DOMAIN.to_owned(), metadata })
        }
        Detail::ResourceInfo { kind, name, description } => {
            let info = rpc::ResourceInfo {
                resource_type: (*kind).to_owned(),
                resource_name: cut(name).to_owned(),
                owner: String::new(),
                description: cut(description).to_owned(),
            };
            packed(url, &info)
        }
        Detail::BadRequest { field, description } => {
            let violation = rpc::bad_request::FieldViolation {
                field: cut(field).to_owned(),
                description: cut(description).to_owned(),
                reason: String::new(),
            };
            packed(url, &rpc::BadRequest { field_violations: vec![violation] })
        }
        Detail::Help { url: page, description } => {
            let link = rpc::help::Link { description: (*description).to_owned(), url: (*page).to_owned() };
            packed(url, &rpc::Help { links: vec![link] })
        }
    }
}

fn packed(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(status: &Status) -> rpc::Status {
        rpc::Status::decode(status.details()).unwrap()
    }

    #[test]
    fn details_are_packed_in_their_order() {
        let fault = Fault::new(400, Grpc::InvalidArgument, "ERR_X", "no")
            .with_field("key", "shorter")
            .on("state", "orders", "")
            .because("DAPR_X", &[("a", "b")])
            .with_help("https://example.org", "more");
        let status = of(&fault);
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "no"));
        let said = details(&status);
        assert_eq!((said.code, said.message.as_str()), (3, "no"));
        let kinds: Vec<_> = said.details.iter().map(|any| any.type_url.rsplit('.').next().unwrap()).collect();
        assert_eq!(kinds, ["BadRequest", "ResourceInfo", "ErrorInfo", "Help"]);
        let info = rpc::ErrorInfo::decode(&*said.details[2].value).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str(), &*info.metadata["a"]),
            ("DAPR_X", "dapr.io", "b")
        );
    }

    #[test]
    fn a_failure_without_details_says_its_code_where_the_protocol_does() {
        let fault = Fault::new(409, Grpc::Aborted, "ERR_STATE_SAVE", "stale");
        assert!(of(&fault).details().is_empty());
        let info = details(&with_reason(&fault)).details.remove(0);
        assert_eq!(rpc::ErrorInfo::decode(&*info.value).unwrap().reason, "ERR_STATE_SAVE");
    }

    #[test]
    fn a_long_key_does_not_break_the_trailers() {
        let key = "é".repeat(1 << 20);
        let fault = Fault::malformed(&key).with_field(&key, &key).on("state", &key, &key);
        let status = of(&fault.because("DAPR_X", &[("topic", &key)]));
        // Each byte of the message may take three, three of the details four.
        assert!(status.message().len() * 3 + status.details().len() * 4 / 3 < 8 << 10);
    }
}
