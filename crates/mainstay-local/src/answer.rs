//! The answer on its way out: bytes of tokens to text, stop texts, tool calls. Each stage holds back only what it
//! cannot decide yet. It knows no tokens and no model.

mod calls;
mod stop;
mod utf8;

use mainstay_core::model::ModelEvent;

use calls::Calls;
use stop::Stops;
use utf8::Utf8;

pub(crate) use calls::{CALL_END, CALL_START};

/// An answer being spoken.
#[derive(Debug)]
pub(crate) struct Answer {
    utf8: Utf8,
    stops: Stops,
    calls: Option<Calls>,
    one_call: bool,
}

/// What more of an answer led to.
#[derive(Debug, PartialEq)]
pub(crate) struct Progress {
    /// Events to pass on.
    pub(crate) events: Vec<ModelEvent>,
    /// Whether the answer is over, though the model would go on.
    pub(crate) done: bool,
}

impl Answer {
    /// An answer that ends at any of `stops`. With `calls`, the prefix of call ids, it may call tools; with `one_call`
    /// it ends after the first.
    pub(crate) fn new(stops: &[String], calls: Option<String>, one_call: bool) -> Self {
        Self { utf8: Utf8::default(), stops: Stops::new(stops), calls: calls.map(Calls::new), one_call }
    }

    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Progress {
        let text = self.utf8.push(bytes);
        let (text, stopped) = self.stops.push(&text);
        let events = self.speak(&text);
        Progress { events, done: stopped || (self.one_call && self.has_calls()) }
    }

    /// What was held back, now that nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<ModelEvent> {
        let rest = self.utf8.finish();
        let (mut text, _) = self.stops.push(&rest);
        text.push_str(&self.stops.finish());
        let mut events = self.speak(&text);
        if let Some(calls) = &mut self.calls {
            calls.finish(&mut events);
        }
        events
    }

    /// Whether a tool was called.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.count() > 0)
    }

    fn speak(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        match &mut self.calls {
            Some(calls) => calls.push(text, &mut events),
            None if text.is_empty() => {}
            None => events.push(ModelEvent::Text(text.to_owned())),
        }
        events
    }
}

/// How many bytes at the end of `text` could be the beginning of `mark`.
fn overlap(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len().saturating_sub(1));
    (1..=longest).rev().find(|n| text.as_bytes().ends_with(&mark.as_bytes()[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
