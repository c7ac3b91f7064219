//! Collects faults while a spec is read: every one, up to a bound. Renders nothing.

use mainstay_core::Code;

use crate::diagnostic::{Diagnostic, Place};
use crate::place::Span;

/// Faults kept; further ones are counted.
const FAULTS_MAX: usize = 200;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) list: Vec<Diagnostic>,
    /// What may not be meant, and is no fault.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Faults beyond the bound.
    pub(crate) beyond: usize,
    /// Where values stand that must never be shown.
    pub(crate) secrets: Vec<Span>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Diagnostic) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        } else {
            self.beyond += 1;
        }
    }

    /// A fault at a span.
    pub(crate) fn at(
        &mut self,
        span: Span,
        code: &'static Code,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Diagnostic { code, message: message.into(), help, place: Place::Text(span) });
    }

    /// What may not be meant, at a span.
    pub(crate) fn warn(&mut self, span: Span, code: &'static Code, message: String, help: Option<String>) {
        if self.warnings.len() < FAULTS_MAX {
            self.warnings.push(Diagnostic { code, message, help, place: Place::Text(span) });
        }
    }

    /// Whether further warnings are not kept.
    pub(crate) fn warned_enough(&self) -> bool {
        self.warnings.len() >= FAULTS_MAX
    }

    /// How many faults there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len() + self.beyond
    }

    /// Makes warnings of the faults after the first `kept`.
    pub(crate) fn excuse(&mut self, kept: usize) {
        let excused = self.list.split_off(kept.min(self.list.len()));
        self.beyond = kept.saturating_sub(self.list.len());
        let room = FAULTS_MAX.saturating_sub(self.warnings.len());
        self.warnings.extend(excused.into_iter().take(room));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a fault lies within `span`.
    pub(crate) fn within(&self, span: Span) -> bool {
        self.list.iter().any(|fault| matches!(fault.place, Place::Text(at) if span.contains(at)))
    }
}
