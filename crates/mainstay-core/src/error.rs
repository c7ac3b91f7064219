//! The one error type of every port: a code, what is safe to tell a caller, and what only the log may see.

use std::fmt;
use std::time::Duration;

use crate::codes::Code;

/// What every port method returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The closed set of failure classes. Adapters map into it and never add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// The state of the thing forbids the call now.
    Conflict,
    /// The caller must change the request.
    InvalidArgument,
    /// No valid credential.
    Unauthenticated,
    /// A valid credential that may not do this.
    PermissionDenied,
    /// Too much; try later.
    RateLimited,
    /// A dependency is down or the server is not ready.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// This member cannot do that.
    Unsupported,
    /// A fault of ours.
    Internal,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail again.
    Permanent,
    /// The same call may succeed later; after the given time, where the other side said one.
    Temporary(Option<Duration>),
}

/// A failed operation.
///
/// `Display` gives the external message: safe for any caller, a lowercase fragment that says
/// what was attempted and why it failed (`read the body: it is compressed`), or what is so (`no agent is called …`).
/// The internal detail and the source go to logs alone, through [`Error::internal`] and `source()`.
pub struct Error(Box<Inner>);

struct Inner {
    code: &'static Code,
    message: String,
    help: Option<String>,
    field: Option<String>,
    internal: Option<String>,
    retry: Retry,
    answer: Option<u16>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with `code` and a message that any caller may read. Rate limits, timeouts and unavailability are
    /// temporary by default, everything else permanent.
    #[must_use]
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        let retry = match code.kind {
            Kind::RateLimited | Kind::Unavailable | Kind::Timeout => Retry::Temporary(None),
            _ => Retry::Permanent,
        };
        let message = message.into();
        Self(Box::new(Inner {
            code,
            message,
            help: None,
            field: None,
            internal: None,
            retry,
            answer: None,
            source: None,
        }))
    }

    /// A fault of ours: the caller sees only that, the log sees `internal`.
    #[must_use]
    pub fn bug(internal: impl Into<String>) -> Self {
        Self::new(&crate::codes::INTERNAL, "an internal fault; the log has the details under this request id")
            .with_internal(internal)
    }

    /// Adds the next step for the caller.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Names the request field at fault, as a dotted path (`messages.0.role`).
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Adds detail for the log alone.
    #[must_use]
    pub fn with_internal(mut self, internal: impl Into<String>) -> Self {
        self.0.internal = Some(internal.into());
        self
    }

    /// Says whether a retry can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Says what the other side answered with: a status of a request-response protocol (from 100), or a code of a
    /// remote call (0 to 16).
    #[must_use]
    pub fn with_answer(mut self, status: u16) -> Self {
        self.0.answer = Some(status);
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The API error code.
    #[must_use]
    pub fn code(&self) -> &'static Code {
        self.0.code
    }

    /// The failure class.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.code.kind
    }

    /// The external message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The next step, if there is one to give.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The request field at fault.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Detail for the log.
    #[must_use]
    pub fn internal(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    /// Whether a retry can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What the other side answered with, where it answered: see [`Error::with_answer`].
    #[must_use]
    pub fn answer(&self) -> Option<u16> {
        self.0.answer
    }

    /// How long the other side asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.retry {
            Retry::Temporary(after) => after,
            Retry::Permanent => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("code", &self.0.code.id).field("message", &self.0.message);
        if let Some(field) = &self.0.field {
            out.field("field", field);
        }
        if let Some(internal) = &self.0.internal {
            out.field("internal", internal);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn the_external_message_carries_no_internals() {
        let error = Error::bug("row 17 of table x").with_source(std::io::Error::other("disk /dev/sda"));
        assert!(!error.to_string().contains("row 17") && !error.to_string().contains("/dev/sda"));
        assert!(format!("{error:?}").contains("row 17"));
    }

    #[test]
    fn unavailability_is_temporary_by_default() {
        assert_eq!(Error::new(&codes::OVERLOADED, "busy").retry(), Retry::Temporary(None));
        assert_eq!(Error::new(&codes::INVALID_FIELD, "bad").retry(), Retry::Permanent);
    }
}
