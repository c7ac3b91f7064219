//! Errors as answers: one short match from kind to status, the irregular codes beside it, and the shapes in which the
//! different fronts show them. It logs what callers must not see.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_core::run::RunError;
use mainstay_core::{Code, Error, Kind, RequestId, Retry, RunId, codes};
use mainstay_dialects::{Codec, anthropic, openai_chat};
use schemars::JsonSchema;
use serde::Serialize;

use crate::reply::{self, JSON, Response};

/// What a handler fails with: an error, and the run that met it, if there is one.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) run: Option<RunId>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, run: None }
    }
}

impl Failure {
    pub(crate) fn of_run(error: Error, run: &RunId) -> Self {
        Self { error, run: Some(run.clone()) }
    }
}

/// What a handler gives.
pub(crate) type Result<T = Response> = std::result::Result<T, Failure>;

/// The shape of a route's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Ours.
    Ours,
    /// Flat, as clients of the short routes expect.
    Alias,
    /// As OpenAI's API.
    OpenAi,
    /// As Anthropic's API.
    Anthropic,
    /// Anthropic's for a request with its version header, else OpenAI's.
    Models,
}

/// Codes whose status is not their kind's.
static IRREGULAR: &[(&Code, StatusCode)] = &[
    (&codes::INVALID_JSON, StatusCode::BAD_REQUEST),
    (&codes::INVALID_REQUEST, StatusCode::BAD_REQUEST),
    (&codes::METHOD_NOT_ALLOWED, StatusCode::METHOD_NOT_ALLOWED),
    (&codes::UNSUPPORTED_MEDIA_TYPE, StatusCode::UNSUPPORTED_MEDIA_TYPE),
    (&codes::BODY_TOO_LARGE, StatusCode::PAYLOAD_TOO_LARGE),
    (&codes::BODY_TIMEOUT, StatusCode::REQUEST_TIMEOUT),
    // What the caller asked for is there; what it stands on is not.
    (&codes::PROVIDER_MODEL_NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE),
    (&codes::PROVIDER_BAD_RESPONSE, StatusCode::BAD_GATEWAY),
    (&codes::APP_FAILED, StatusCode::BAD_GATEWAY),
];

/// Codes that time alone does not cure, whatever their kind: somebody must act.
static FUTILE: &[&Code] = &[&codes::PROVIDER_AUTH, &codes::PROVIDER_QUOTA, &codes::INTERNAL];

/// The wait to suggest where nobody named one.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The status for a code, in our own shape.
pub(crate) fn status(code: &'static Code) -> StatusCode {
    if let Some((_, status)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == code) {
        return *status;
    }
    match code.kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::InvalidArgument | Kind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Shape {
    /// The shape for a request with these headers.
    pub(crate) fn resolve(self, headers: &HeaderMap) -> Self {
        match self {
            Self::Models if headers.contains_key(anthropic_version()) => Self::Anthropic,
            Self::Models => Self::OpenAi,
            other => other,
        }
    }

    /// The status for a code in this shape.
    pub(crate) fn status(self, error: &Error) -> StatusCode {
        let Some(codec) = self.codec() else { return status(error.code()) };
        StatusCode::from_u16((codec.status)(error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn codec(self) -> Option<&'static Codec> {
        match self {
            Self::Ours | Self::Alias => None,
            Self::OpenAi | Self::Models => Some(&openai_chat::CODEC),
            Self::Anthropic => Some(&anthropic::CODEC),
        }
    }

    fn body(self, failure: &Failure, request_id: &RequestId) -> Bytes {
        match self.codec() {
            Some(codec) => (codec.encode_error)(&failure.error, Some(request_id.as_str())),
            None if self == Self::Alias => to_json(&AliasError::new(failure, request_id)),
            None => to_json(&ErrorReply::new(failure, request_id)),
        }
    }
}

/// Set by clients of Anthropic's API on every request.
pub(crate) const fn anthropic_version() -> &'static str {
    "anthropic-version"
}

/// The answer for a failure.
pub(crate) fn response(shape: Shape, failure: &Failure, request_id: &RequestId) -> Response {
    let status = shape.status(&failure.error);
    let mut response = reply::whole(status, JSON, shape.body(failure, request_id));
    let headers = response.headers_mut();
    let error = &failure.error;
    let may_retry = matches!(error.retry(), Retry::Temporary(_)) && !FUTILE.contains(&error.code());
    if may_retry && matches!(status.as_u16(), 429 | 503 | 529) {
        headers.insert(header::RETRY_AFTER, seconds(error.retry_after().unwrap_or(RETRY_AFTER_DEFAULT)));
    }
    if shape.codec().is_some() && !may_retry && (status.is_server_error() || is_retried_by_clients(status)) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(run) = &failure.run {
        crate::ask::point_to(headers, run, None);
    }
    response
}

/// Statuses below 500 on which the official clients try again by themselves.
fn is_retried_by_clients(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

/// Whole seconds, at least one.
pub(crate) fn seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

/// Writes to the log what the caller does not see. Refusals of the request itself are the caller's business.
pub(crate) fn log(route: &str, request_id: &RequestId, error: &Error) {
    let (code, internal, source) = (error.code().id, error.internal(), std::error::Error::source(error));
    match error.kind() {
        Kind::Internal => {
            tracing::error!(route, %request_id, code, internal, source, "request failed: {error}");
        }
        Kind::Unavailable | Kind::Timeout => {
            tracing::warn!(route, %request_id, code, internal, source, "request failed: {error}");
        }
        _ => tracing::debug!(route, %request_id, code, internal, "request refused: {error}"),
    }
}

/// The error that a run recorded.
pub(crate) fn of_run(error: &RunError) -> Error {
    match codes::find(&error.code) {
        Some(code) => {
            let known = Error::new(code, error.message.clone());
            let known = match &error.help {
                Some(help) => known.with_help(help.clone()),
                None => known,
            };
            match error.retry_after_ms {
                Some(ms) => known.with_retry(Retry::Temporary(Some(Duration::from_millis(ms)))),
                None => known,
            }
        }
        None => Error::bug(format!("a run recorded the unknown code `{}`", error.code)),
    }
}

/// The path of a code's page.
pub(crate) fn page(code: &str) -> String {
    format!("/docs/errors/{code}")
}

/// An error.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorReply {
    error: ErrorView,
}

/// What went wrong.
#[derive(Serialize, JsonSchema)]
struct ErrorView {
    /// A stable code; its page says what to do.
    code: &'static str,
    /// What failed.
    message: String,
    /// The field of the request at fault, as a dotted path.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// The id to look for in the log.
    request_id: String,
    /// The run that met the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// The path of the code's page.
    docs: String,
}

impl ErrorReply {
    pub(crate) fn new(failure: &Failure, request_id: &RequestId) -> Self {
        let error = &failure.error;
        let view = ErrorView {
            code: error.code().id,
            message: error.message().to_owned(),
            field: error.field().map(str::to_owned),
            help: error.help().map(str::to_owned),
            request_id: request_id.to_string(),
            run_id: failure.run.as_ref().map(ToString::to_string),
            docs: page(error.code().id),
        };
        Self { error: view }
    }
}

/// An error, flat.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AliasError {
    /// A stable code; its page says what to do.
    error: &'static str,
    /// What failed, and the next step.
    detail: String,
    /// The field of the request at fault, as a dotted path.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The id to look for in the log.
    request_id: String,
    /// The run that met the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// The path of the code's page.
    docs: String,
}

impl AliasError {
    pub(crate) fn new(failure: &Failure, request_id: &RequestId) -> Self {
        let error = &failure.error;
        let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
        Self {
            error: error.code().id,
            detail: format!("{}{help}", error.message()),
            field: error.field().map(str::to_owned),
            request_id: request_id.to_string(),
            run_id: failure.run.as_ref().map(ToString::to_string),
            docs: page(error.code().id),
        }
    }
}

fn to_json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("the error types have string keys only").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_of_its_kind_or_its_own() {
        for (code, wanted) in [
            (&codes::INVALID_JSON, 400),
            (&codes::UNAUTHENTICATED, 401),
            (&codes::PERMISSION_DENIED, 403),
            (&codes::RUN_NOT_FOUND, 404),
            (&codes::METHOD_NOT_ALLOWED, 405),
            (&codes::BODY_TIMEOUT, 408),
            (&codes::SESSION_BUSY, 409),
            (&codes::BODY_TOO_LARGE, 413),
            (&codes::UNSUPPORTED_MEDIA_TYPE, 415),
            (&codes::INVALID_FIELD, 422),
            (&codes::PROVIDER_CONTENT_FILTER, 422),
            (&codes::PROVIDER_QUOTA, 429),
            (&codes::INTERNAL, 500),
            (&codes::PROVIDER_BAD_RESPONSE, 502),
            (&codes::PROVIDER_AUTH, 503),
            (&codes::PROVIDER_MODEL_NOT_FOUND, 503),
            (&codes::DEADLINE_EXCEEDED, 504),
        ] {
            assert_eq!(status(code).as_u16(), wanted, "{}", code.id);
        }
    }

    #[test]
    fn waiting_is_suggested_only_where_it_helps() {
        let id = RequestId::generate();
        let retry_after = |code| {
            let failure = Failure::from(Error::new(code, "x"));
            response(Shape::Ours, &failure, &id).headers().get(header::RETRY_AFTER).cloned()
        };
        assert_eq!(retry_after(&codes::OVERLOADED).unwrap(), "1");
        assert!(retry_after(&codes::PROVIDER_QUOTA).is_none());
        assert!(retry_after(&codes::PROVIDER_AUTH).is_none());
        assert!(retry_after(&codes::PROVIDER_MODEL_NOT_FOUND).is_none());
        assert!(retry_after(&codes::INVALID_FIELD).is_none());
    }

    #[test]
    fn a_wait_is_whole_seconds_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), "1");
        assert_eq!(seconds(Duration::from_millis(2_001)), "3");
        assert_eq!(seconds(Duration::ZERO), "1");
    }

    #[test]
    fn clients_are_told_not_to_repeat_what_cannot_help() {
        let id = RequestId::generate();
        let told = |code| {
            let failure = Failure::from(Error::new(code, "x"));
            response(Shape::OpenAi, &failure, &id).headers().contains_key("x-should-retry")
        };
        assert!(told(&codes::PROVIDER_QUOTA) && told(&codes::PROVIDER_AUTH));
        assert!(!told(&codes::PROVIDER_UNAVAILABLE) && !told(&codes::INVALID_FIELD));
    }
}
