//! The status that a model vendor's service gives for an error, for the fronts that look like one.

use mainstay_core::{Error, Kind, codes};

/// The status, by class; a few codes have their own.
pub(crate) fn of(error: &Error) -> u16 {
    let code = error.code();
    if code == &codes::BODY_TOO_LARGE {
        return 413;
    }
    if code == &codes::METHOD_NOT_ALLOWED {
        return 405;
    }
    if code == &codes::UNSUPPORTED_MEDIA_TYPE {
        return 415;
    }
    if code == &codes::BODY_TIMEOUT {
        return 408;
    }
    if code == &codes::PROVIDER_BAD_RESPONSE {
        return 502;
    }
    match error.kind() {
        Kind::InvalidArgument | Kind::Unsupported => 400,
        Kind::Unauthenticated => 401,
        Kind::PermissionDenied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::RateLimited => 429,
        Kind::Unavailable => 503,
        Kind::Timeout => 504,
        Kind::Internal => 500,
    }
}

/// The message for a caller: what failed, and the next step where there is one.
pub(crate) fn message(error: &Error) -> String {
    let help = error.help().map(|help| format!("; help: {help}")).unwrap_or_default();
    format!("{}{help}", error.message())
}
