//! Which failures the next target may cure.

use mainstay_core::{Error, Kind, codes};

/// Whether another target may succeed where this one failed: everything but what is wrong with the request itself,
/// which every target would refuse alike. The model that one target lacks is not the one that the next is asked for.
pub(crate) fn may_help(error: &Error) -> bool {
    error.code() == &codes::PROVIDER_MODEL_NOT_FOUND
        || !matches!(error.kind(), Kind::InvalidArgument | Kind::NotFound | Kind::Unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_stays_and_a_failing_provider_does_not() {
        for stays in
            [&codes::PROVIDER_INVALID_REQUEST, &codes::PROVIDER_CONTENT_FILTER, &codes::INVALID_FIELD]
        {
            assert!(!may_help(&Error::new(stays, "x")), "{}", stays.id);
        }
        let moves = [
            &codes::PROVIDER_UNAVAILABLE,
            &codes::PROVIDER_AUTH,
            &codes::PROVIDER_MODEL_NOT_FOUND,
            &codes::PROVIDER_QUOTA,
            &codes::PROVIDER_RATE_LIMITED,
            &codes::PROVIDER_TIMEOUT,
            &codes::PROVIDER_BAD_RESPONSE,
            &codes::MODEL_FILE_UNAVAILABLE,
        ];
        for code in moves {
            assert!(may_help(&Error::new(code, "x")), "{}", code.id);
        }
    }
}
