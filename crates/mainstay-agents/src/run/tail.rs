//! The latest events of a run at work, kept in memory for those who follow closely. The journal has them all; this
//! only saves reads of it.

use std::collections::VecDeque;

use mainstay_core::run::{RunEvent, RunEventKind};
use serde_json::Value;

/// Most events kept of one run. With a thousand runs at work every event counts: it holds a quarter of a kilobyte.
const TAIL_EVENTS_MAX: usize = 32;

/// Most bytes kept of one run, by [`weight`].
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// What an event weighs beside its content, in bytes.
const EVENT_BYTES: usize = 64;

/// A ring of durable events without gaps.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    events: VecDeque<RunEvent>,
    bytes: usize,
}

impl Tail {
    /// Adds the next events and drops the oldest beyond the bounds.
    pub(crate) fn extend(&mut self, events: Vec<RunEvent>) {
        for event in events {
            self.bytes += weight(&event.kind);
            self.events.push_back(event);
            while self.bytes > TAIL_BYTES_MAX || self.events.len() > TAIL_EVENTS_MAX {
                let Some(oldest) = self.events.pop_front() else { break };
                self.bytes -= weight(&oldest.kind);
            }
        }
    }

    /// At most `limit` events from number `after + 1` on, or `None` when that one is not here.
    pub(crate) fn after(&self, after: u64, limit: usize) -> Option<Vec<RunEvent>> {
        let first = self.events.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        (skip < self.events.len()).then(|| self.events.iter().skip(skip).take(limit).cloned().collect())
    }
}

/// About how many bytes an event holds.
pub(crate) fn weight(kind: &RunEventKind) -> usize {
    EVENT_BYTES
        + match kind {
            RunEventKind::Started | RunEventKind::Step { .. } => 0,
            RunEventKind::Text { delta } | RunEventKind::Reasoning { delta } => delta.len(),
            RunEventKind::ToolCall { arguments, .. } => arguments.len(),
            RunEventKind::ToolResult { content, .. } => content.len(),
            RunEventKind::Custom { name, data } => name.len() + json_weight(data),
            RunEventKind::Completed { answer, .. } => answer.len(),
            RunEventKind::Failed(error)
            | RunEventKind::Cancelled(error)
            | RunEventKind::Interrupted(error) => error.message.len(),
        }
}

fn json_weight(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + json_weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    content + size_of::<Value>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seq: u64, bytes: usize) -> RunEvent {
        RunEvent { seq, at_ms: 0, kind: RunEventKind::Text { delta: "x".repeat(bytes) } }
    }

    fn check(tail: &Tail, after: u64, expect: Option<&[u64]>) {
        let seqs: Option<Vec<u64>> =
            tail.after(after, 3).map(|events| events.iter().map(|e| e.seq).collect());
        assert_eq!(seqs.as_deref(), expect, "after {after}");
    }

    #[test]
    fn a_reader_gets_what_follows_its_number_or_nothing() {
        let mut tail = Tail::default();
        check(&tail, 0, None);
        tail.extend((1..=5).map(|seq| text(seq, 1)).collect());
        check(&tail, 0, Some(&[1, 2, 3]));
        check(&tail, 3, Some(&[4, 5]));
        check(&tail, 5, None);
        check(&tail, 9, None);
    }

    #[test]
    fn the_oldest_go_first_and_a_reader_behind_them_is_told() {
        let mut tail = Tail::default();
        tail.extend((1..=200).map(|seq| text(seq, 1)).collect());
        check(&tail, 10, None);
        check(&tail, 168, Some(&[169, 170, 171]));
        tail.extend(vec![text(201, TAIL_BYTES_MAX)]);
        check(&tail, 200, None);
        assert_eq!((tail.events.len(), tail.bytes), (0, 0));
        tail.extend(vec![text(202, 1)]);
        check(&tail, 200, None);
        check(&tail, 201, Some(&[202]));
    }
}
