//! The context of one call: who asks, until when, and under which trace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Name, RequestId};

/// Who makes a call, as the access layer established it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Principal {
    /// No credential was shown (allowed on loopback, or where the spec says so).
    #[default]
    Anonymous,
    /// An API key of the spec, by its name.
    Key(Name),
    /// The runtime itself (recovery, retention).
    System,
}

impl Principal {
    /// A short label for records and metrics; never a secret.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Key(name) => name.as_str(),
            Self::System => "system",
        }
    }
}

/// The first argument of every port method. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ctx(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    request_id: RequestId,
    principal: Principal,
    deadline: Option<Instant>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// Longest `tracestate` that is passed on, in bytes (Trace Context, section 3.3.1.5).
const TRACESTATE_BYTES_MAX: usize = 512;

impl Ctx {
    /// A context for a request of `principal`.
    #[must_use]
    pub fn new(request_id: RequestId, principal: Principal) -> Self {
        Self(Arc::new(Inner { request_id, principal, deadline: None, traceparent: None, tracestate: None }))
    }

    /// A context for work of the runtime's own, without a deadline.
    #[must_use]
    pub fn system() -> Self {
        Self::new(RequestId::generate(), Principal::System)
    }

    /// The same context with a deadline that is never later than the present one.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.deadline = Some(inner.deadline.map_or(deadline, |d| d.min(deadline)));
        self
    }

    /// The same context without a deadline: for work that outlives the request (background runs).
    #[must_use]
    pub fn detached(mut self) -> Self {
        Arc::make_mut(&mut self.0).deadline = None;
        self
    }

    /// The same context under a W3C `traceparent`; an ill-formed one is ignored (Trace Context, section 3.2).
    #[must_use]
    pub fn with_traceparent(mut self, header: &str) -> Self {
        if is_traceparent(header) {
            Arc::make_mut(&mut self.0).traceparent = Some(header.to_owned());
        }
        self
    }

    /// The same context with a W3C `tracestate`; one that is ill-formed, or without a trace to belong to, is ignored.
    #[must_use]
    pub fn with_tracestate(mut self, header: &str) -> Self {
        let is_fit = (1..=TRACESTATE_BYTES_MAX).contains(&header.len())
            && header.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_fit && self.0.traceparent.is_some() {
            Arc::make_mut(&mut self.0).tracestate = Some(header.to_owned());
        }
        self
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.0.request_id
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Time left at `now`; `None` without a deadline, zero when it has passed.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.0.deadline.map(|d| d.saturating_duration_since(now))
    }

    /// The caller's W3C trace context, to be passed on.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.traceparent.as_deref()
    }

    /// What tracing systems say of that trace, to be passed on.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.0.tracestate.as_deref()
    }
}

fn is_traceparent(text: &str) -> bool {
    let lower_hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else { return false };
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    lengths
        && parts.iter().all(|p| lower_hex(p))
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_only_ever_shrinks() {
        let now = Instant::now();
        let ctx = Ctx::system()
            .with_deadline(now + Duration::from_secs(5))
            .with_deadline(now + Duration::from_secs(9));
        assert_eq!(ctx.remaining(now), Some(Duration::from_secs(5)));
        assert_eq!(ctx.detached().remaining(now), None);
    }

    #[test]
    fn only_well_formed_trace_contexts_are_passed_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Ctx::system().with_traceparent(good).traceparent(), Some(good));
        for bad in ["", "00-xyz", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(Ctx::system().with_traceparent(bad).traceparent(), None, "{bad:?}");
        }
        let traced = Ctx::system().with_traceparent(good);
        assert_eq!(traced.clone().with_tracestate("a=1,b=2").tracestate(), Some("a=1,b=2"));
        assert_eq!(traced.with_tracestate("a=\n").tracestate(), None);
        assert_eq!(Ctx::system().with_tracestate("a=1").tracestate(), None, "there is no trace");
    }
}
