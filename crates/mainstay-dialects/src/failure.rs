//! What a failed answer means, in the house's codes. Dialects find the class; this file makes the error.
//!
//! A provider's own words may repeat the request (prompt text, parts of keys), so they are never kept: only the
//! identifiers with which it names the fault are, and the caller who spoke the provider's dialect gets the answer
//! itself anyway.

use std::time::Duration;

use mainstay_core::{Code, Error, Retry, codes};

use crate::codec::ErrorAnswer;

/// What to do about refused credentials.
const AUTH_HELP: &str =
    "let the provider's `api_key` refer to a valid key; `mainstay check --env` shows what it refers to";

/// Longest wait that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longest identifier that is repeated, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 64;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Auth,
    Quota,
    RateLimited,
    ContentFilter,
    Invalid,
    UnknownModel,
    Timeout,
    Unavailable,
    BadResponse,
}

impl Class {
    /// What a status means where the body says nothing better.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Auth,
            402 => Self::Quota,
            404 => Self::UnknownModel,
            408 | 504 => Self::Timeout,
            429 => Self::RateLimited,
            409 | 425 | 500.. => Self::Unavailable,
            400..=499 => Self::Invalid,
            _ => Self::BadResponse,
        }
    }

    fn code(self) -> &'static Code {
        match self {
            Self::Auth => &codes::PROVIDER_AUTH,
            Self::Quota => &codes::PROVIDER_QUOTA,
            Self::RateLimited => &codes::PROVIDER_RATE_LIMITED,
            Self::ContentFilter => &codes::PROVIDER_CONTENT_FILTER,
            Self::Invalid => &codes::PROVIDER_INVALID_REQUEST,
            Self::UnknownModel => &codes::PROVIDER_MODEL_NOT_FOUND,
            Self::Timeout => &codes::PROVIDER_TIMEOUT,
            Self::Unavailable => &codes::PROVIDER_UNAVAILABLE,
            Self::BadResponse => &codes::PROVIDER_BAD_RESPONSE,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Auth => "ask the model: the provider refused our credentials",
            Self::Quota => "ask the model: the provider account has no quota left",
            Self::RateLimited => "ask the model: the provider is limiting our requests",
            Self::ContentFilter => "ask the model: the provider's filter refused the request",
            Self::Invalid => "ask the model: the provider did not accept the request",
            Self::UnknownModel => "ask the model: the provider does not know this model or path",
            Self::Timeout => "ask the model: the provider did not answer in time",
            Self::Unavailable => "ask the model: the provider is failing or overloaded",
            Self::BadResponse => "ask the model: the provider's answer makes no sense",
        }
    }

    fn may_pass(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable | Self::BadResponse)
    }
}

/// The error of a failed answer. `names` are the provider's identifiers for the fault, with what each one is.
pub(crate) fn error(
    answer: &ErrorAnswer<'_>,
    class: Class,
    names: &[(&str, Option<&str>)],
    wait: Option<Duration>,
) -> Error {
    let mut error = named(class, names).with_internal(internal(answer.status, names));
    if class.may_pass() {
        let wait = wait.or_else(|| retry_after(answer)).map(|wait| wait.min(RETRY_AFTER_MAX));
        error = error.with_retry(Retry::Temporary(wait));
    }
    match (answer.header)("x-should-retry").as_deref() {
        Some("false") => error.with_retry(Retry::Permanent),
        Some("true") if error.retry() == Retry::Permanent => error.with_retry(Retry::Temporary(None)),
        _ => error,
    }
}

/// The error of a fault reported inside a stream that had begun.
pub(crate) fn in_stream(class: Class, names: &[(&str, Option<&str>)]) -> Error {
    let error = named(class, names);
    let retry = if class.may_pass() { Retry::Temporary(None) } else { Retry::Permanent };
    error.with_retry(retry)
}

/// An answer that breaks its dialect. `what` never repeats the answer.
pub(crate) fn bad_response(what: &str) -> Error {
    Error::new(&codes::PROVIDER_BAD_RESPONSE, format!("read the provider's answer: {what}"))
}

/// An answer that is not the JSON it has to be.
pub(crate) fn bad_json(error: &serde_json::Error) -> Error {
    let place = format!("line {}, column {}", error.line(), error.column());
    bad_response("it is not the JSON that its dialect demands")
        .with_internal(format!("{:?} at {place}", error.classify()))
}

fn named(class: Class, names: &[(&str, Option<&str>)]) -> Error {
    let said: Vec<String> =
        names.iter().filter_map(|(what, name)| Some(format!("{what} `{}`", identifier((*name)?)?))).collect();
    let words = class.words();
    let message = if said.is_empty() { words.to_owned() } else { format!("{words} ({})", said.join(", ")) };
    let retry = if class.may_pass() { Retry::Temporary(None) } else { Retry::Permanent };
    let error = Error::new(class.code(), message).with_retry(retry);
    if class == Class::Auth { error.with_help(AUTH_HELP) } else { error }
}

fn internal(status: u16, names: &[(&str, Option<&str>)]) -> String {
    let said: Vec<String> =
        names.iter().filter_map(|(what, name)| Some(format!(" {what}={}", identifier((*name)?)?))).collect();
    format!("provider status={status}{}", said.concat())
}

/// A word of a provider's vocabulary, as opposed to a sentence.
fn identifier(text: &str) -> Option<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    (!text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX && text.bytes().all(fits)).then_some(text)
}

/// How long the provider asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date. A date is
/// counted from the answer's own `date`, so that neither clock matters.
fn retry_after(answer: &ErrorAnswer<'_>) -> Option<Duration> {
    if let Some(ms) = (answer.header)("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let after = (answer.header)("retry-after")?;
    if let Ok(seconds) = after.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (then, now) = (http_date(&after)?, http_date(&(answer.header)("date")?)?);
    Some(Duration::from_secs(u64::try_from(then.saturating_sub(now)).unwrap_or(0)))
}

fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|time| time.timestamp().as_second())
}

/// A wait in the form of a protobuf duration, e.g. `3.5s`.
pub(crate) fn protobuf_duration(text: &str) -> Option<Duration> {
    text.strip_suffix('s')?.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_wait(headers: &[(&str, &str)], wanted: Option<Duration>) {
        let find = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let answer = ErrorAnswer { status: 429, header: &find, body: b"" };
        assert_eq!(error(&answer, Class::RateLimited, &[], None).retry_after(), wanted, "{headers:?}");
    }

    #[test]
    fn waits_come_in_milliseconds_seconds_and_dates() {
        check_wait(&[("retry-after-ms", "1500"), ("retry-after", "9")], Some(Duration::from_millis(1500)));
        check_wait(&[("retry-after", "2")], Some(Duration::from_secs(2)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        check_wait(
            &[("retry-after", date), ("date", "Sun, 06 Nov 1994 08:49:07 GMT")],
            Some(Duration::from_secs(30)),
        );
        check_wait(&[("retry-after", date), ("date", "Sun, 06 Nov 1994 08:50:07 GMT")], Some(Duration::ZERO));
        check_wait(&[("retry-after", date)], None);
        check_wait(&[("retry-after", "soon")], None);
        check_wait(&[("retry-after", "1e12")], Some(RETRY_AFTER_MAX));
        check_wait(&[("retry-after", "-3")], None);
    }

    #[test]
    fn a_sentence_of_the_provider_is_never_repeated() {
        let answer = ErrorAnswer { status: 400, header: &|_| None, body: b"" };
        let names = [("code", Some("bad_thing")), ("param", Some("my secret: hunter2"))];
        let error = error(&answer, Class::Invalid, &names, None);
        assert!(format!("{error:?}").contains("bad_thing"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
