//! ★ The API error codes. To add one: a row here and a page `docs/errors/<ID>.md` (what happened, likely causes, what
//! to do). Without the page this file does not compile. Surfaces map the `Kind` to their status; irregular statuses are
//! a table beside the surface.

use crate::Kind;

/// An error code that a client can see.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The code as on the wire.
    pub id: &'static str,
    /// Its class.
    pub kind: Kind,
    /// A lowercase sentence fragment.
    pub title: &'static str,
    /// Its page, in Markdown.
    pub page: &'static str,
}

macro_rules! codes {
    ($($id:ident, $kind:ident, $title:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($id), "`: ", $title, ".")]
            pub static $id: Code = Code {
                id: stringify!($id),
                kind: Kind::$kind,
                title: $title,
                page: include_str!(concat!("../../../docs/errors/", stringify!($id), ".md")),
            };
        )*

        /// Every code, in the order of this file.
        pub static ALL: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    INVALID_JSON, InvalidArgument, "the body is not valid JSON";
    INVALID_REQUEST, InvalidArgument, "the request is broken, or can be read in two ways";
    INVALID_FIELD, InvalidArgument, "a field of the request is missing or out of bounds";
    UNKNOWN_ROUTE, NotFound, "no route has this path";
    METHOD_NOT_ALLOWED, InvalidArgument, "the route does not answer this method";
    UNSUPPORTED_MEDIA_TYPE, InvalidArgument, "the body's content type is not accepted";
    BODY_TOO_LARGE, InvalidArgument, "the body is larger than the server accepts";
    BODY_TIMEOUT, Timeout, "the body did not arrive in time";
    AGENT_NOT_FOUND, NotFound, "no agent has this name";
    MODEL_NOT_FOUND, NotFound, "no model has this name";
    RUN_NOT_FOUND, NotFound, "no run has this id";
    SESSION_NOT_FOUND, NotFound, "no session has this id";
    UNAUTHENTICATED, Unauthenticated, "a valid API key is needed";
    PERMISSION_DENIED, PermissionDenied, "this key may not do that";
    RATE_LIMITED, RateLimited, "too many requests a minute";
    CONCURRENCY_LIMITED, RateLimited, "too many requests at once";
    OVERLOADED, Unavailable, "the server is at its limit";
    DRAINING, Unavailable, "the server is shutting down";
    NOT_READY, Unavailable, "the server is not ready yet";
    DEADLINE_EXCEEDED, Timeout, "the answer did not come in time";
    SESSION_BUSY, Conflict, "the session is at work on another message";
    RUN_CANCELLED, Conflict, "the run was cancelled";
    RUN_INTERRUPTED, Unavailable, "the run was cut by a stop of the server";
    PROVIDER_AUTH, Unavailable, "the model provider refused our credentials";
    PROVIDER_QUOTA, RateLimited, "the provider account has no quota left";
    PROVIDER_RATE_LIMITED, RateLimited, "the provider is limiting our requests";
    PROVIDER_CONTENT_FILTER, InvalidArgument, "the provider's filter refused the request";
    PROVIDER_INVALID_REQUEST, InvalidArgument, "the provider did not accept the request";
    PROVIDER_MODEL_NOT_FOUND, NotFound, "the provider does not have this model";
    PROVIDER_UNAVAILABLE, Unavailable, "the provider cannot be reached or is failing";
    PROVIDER_TIMEOUT, Timeout, "the provider did not answer in time";
    PROVIDER_BAD_RESPONSE, Unavailable, "the provider's answer broke its own protocol";
    MODEL_FILE_UNAVAILABLE, Unavailable, "the local model's file is missing or damaged";
    TOOL_NOT_FOUND, NotFound, "no tool has this name";
    TOOL_ARGUMENTS, InvalidArgument, "the tool's arguments do not fit its schema";
    TOOL_ADDRESS_REFUSED, PermissionDenied, "the tool may not reach this address";
    TOOL_RESPONSE_TOO_LARGE, Unavailable, "the tool's answer is too large";
    TOOL_TIMEOUT, Timeout, "the tool did not answer in time";
    TOOL_UNAVAILABLE, Unavailable, "the tool cannot be reached";
    APP_UNAVAILABLE, Unavailable, "the app cannot be reached";
    APP_FAILED, Unavailable, "the app failed to answer";
    APP_REJECTED, InvalidArgument, "the app did not accept the request";
    JOURNAL_UNAVAILABLE, Unavailable, "the record of runs cannot be written";
    JOURNAL_CORRUPT, Internal, "the record of runs is damaged";
    JOURNAL_LOCKED, Conflict, "the data folder is in use";
    SECRET_UNAVAILABLE, Unavailable, "a secret cannot be read";
    COMPONENT_NOT_FOUND, NotFound, "no component has this name";
    COMPONENT_UNAVAILABLE, Unavailable, "a component could not be opened";
    STORE_UNAVAILABLE, Unavailable, "the state store cannot be reached or is failing";
    VALUE_UNREADABLE, Internal, "a stored value cannot be decrypted";
    CIRCUIT_OPEN, Unavailable, "a circuit breaker keeps calls away";
    ETAG_MISMATCH, Conflict, "the value was changed since it was read";
    ETAG_INVALID, InvalidArgument, "the store cannot have given this etag";
    BROKER_UNAVAILABLE, Unavailable, "the message broker cannot be reached or is failing";
    VAULT_UNAVAILABLE, Unavailable, "the key vault cannot be reached or is failing";
    KEY_NOT_FOUND, NotFound, "no key has this name";
    KEY_UNSUITABLE, InvalidArgument, "the key cannot be used for this";
    CIPHERTEXT_INVALID, InvalidArgument, "the data was not encrypted so, or was changed since";
    BINDING_FAILED, Unavailable, "what a binding speaks to cannot be reached or is failing";
    UNSUPPORTED, Unsupported, "this cannot be done here";
    INTERNAL, Internal, "an internal fault";
    CONFIG_YAML, InvalidArgument, "the spec is not valid YAML";
    CONFIG_UNKNOWN_KEY, InvalidArgument, "the spec has an unknown key";
    CONFIG_MISSING_KEY, InvalidArgument, "the spec lacks a key";
    CONFIG_VALUE, InvalidArgument, "a value in the spec does not fit";
    CONFIG_REFERENCE, InvalidArgument, "the spec refers to something that does not exist";
    CONFIG_UNSAFE_LISTEN, InvalidArgument, "listening beyond loopback without a key";
    CONFIG_SECRET_LITERAL, InvalidArgument, "a secret stands in the spec";
    CONFIG_FILE, InvalidArgument, "a file of the spec cannot be read";
    SHIP_PATCH, InvalidArgument, "a patch of a deployment file cannot be made";
    SHIP_INCOMPLETE, InvalidArgument, "a deployment target needs more than the spec says";
    SHIP_UNSUPPORTED, Unsupported, "a deployment target cannot run this";
}

/// The code with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_about_its_code_and_complete() {
        for code in ALL {
            assert!(
                code.page.starts_with(&format!("# {}\n", code.id)),
                "{}: the page's title is another",
                code.id
            );
            for part in ["## Likely causes", "## What to do"] {
                assert!(code.page.contains(part), "{}: the page lacks `{part}`", code.id);
            }
        }
    }

    #[test]
    fn no_page_is_without_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(find(name.trim_end_matches(".md")).is_some(), "{name} has no row in codes.rs");
        }
    }
}
