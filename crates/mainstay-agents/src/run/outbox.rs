//! Events on their way from a run's body to its writer. While one append is under way, further pieces of text grow into
//! one event, so the journal's own speed sets the size of the batches; a full outbox holds the body back.

use std::collections::VecDeque;

use mainstay_core::run::{Run, RunEventKind};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::tail::weight;

/// Events that may wait for the writer.
const WAITING_EVENTS_MAX: usize = 64;

/// Bytes that may wait for the writer; one event may exceed them.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// What the writer is to record next.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The run's row, where it changed.
    pub(crate) row: Option<Box<Run>>,
    /// Events in order.
    pub(crate) events: Vec<RunEventKind>,
}

impl Batch {
    /// Whether the run ends with it.
    pub(crate) fn is_final(&self) -> bool {
        self.events.last().is_some_and(RunEventKind::is_final)
    }
}

/// A queue of one producer and one consumer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
    broken: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    row: Option<Box<Run>>,
    events: VecDeque<RunEventKind>,
    bytes: usize,
    under_way: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.row.is_none() && self.events.is_empty()
    }

    fn push(&mut self, kind: RunEventKind) {
        self.bytes += weight(&kind);
        match (self.events.back_mut(), kind) {
            (Some(RunEventKind::Text { delta: so_far }), RunEventKind::Text { delta })
            | (Some(RunEventKind::Reasoning { delta: so_far }), RunEventKind::Reasoning { delta }) => {
                so_far.push_str(&delta);
            }
            (_, kind) => self.events.push_back(kind),
        }
    }
}

impl Outbox {
    /// Hands an event over; waits while the outbox is full. Safe to drop: the event is then not handed over.
    pub(crate) async fn push(&self, kind: RunEventKind) {
        while self.is_full() {
            self.drained.notified().await;
        }
        self.waiting.lock().push(kind);
        self.filled.notify_one();
    }

    /// Hands over a changed row and the event that goes with it, to be recorded together; never waits.
    pub(crate) fn push_row(&self, row: Run, event: RunEventKind) {
        let mut waiting = self.waiting.lock();
        waiting.row = Some(Box::new(row));
        waiting.push(event);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits until everything handed over is durable.
    pub(crate) async fn flush(&self) {
        loop {
            {
                let waiting = self.waiting.lock();
                if waiting.is_empty() && !waiting.under_way {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }

    /// Takes everything that waits; waits while there is nothing. Safe to drop.
    pub(crate) async fn take(&self) -> Batch {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.is_empty() {
                    waiting.bytes = 0;
                    waiting.under_way = true;
                    let events = std::mem::take(&mut waiting.events).into();
                    self.drained.notify_one();
                    return Batch { row: waiting.row.take(), events };
                }
            }
            self.filled.notified().await;
        }
    }

    /// The batch taken last is durable.
    pub(crate) fn done(&self) {
        self.waiting.lock().under_way = false;
        self.drained.notify_one();
    }

    /// The writer takes no more.
    pub(crate) fn break_off(&self) {
        self.broken.cancel();
    }

    /// Waits until the writer has given up.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    fn is_full(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.bytes >= WAITING_BYTES_MAX || waiting.events.len() >= WAITING_EVENTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(delta: &str) -> RunEventKind {
        RunEventKind::Text { delta: delta.into() }
    }

    #[tokio::test]
    async fn pieces_of_one_kind_grow_together_and_order_is_kept() {
        let outbox = Outbox::default();
        let think = RunEventKind::Reasoning { delta: "c".into() };
        for kind in [text("a"), text("b"), think.clone(), text("d"), text("e"), RunEventKind::Started] {
            outbox.push(kind).await;
        }
        let batch = outbox.take().await;
        assert_eq!(batch.events, [text("ab"), think, text("de"), RunEventKind::Started]);
    }

    #[tokio::test]
    async fn a_full_outbox_holds_the_body_back_until_the_writer_took_it() {
        let outbox = Outbox::default();
        outbox.push(text(&"x".repeat(WAITING_BYTES_MAX))).await;
        let next = outbox.push(text("y"));
        tokio::pin!(next);
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        assert_eq!(outbox.take().await.events.len(), 1);
        outbox.done();
        next.await;
        assert_eq!(outbox.take().await.events, [text("y")]);
    }

    #[tokio::test]
    async fn flush_waits_for_what_is_under_way() {
        let outbox = Outbox::default();
        outbox.push(text("a")).await;
        let flush = outbox.flush();
        tokio::pin!(flush);
        assert!(futures_util::poll!(flush.as_mut()).is_pending());
        outbox.take().await;
        assert!(futures_util::poll!(flush.as_mut()).is_pending());
        outbox.done();
        assert!(futures_util::poll!(flush.as_mut()).is_ready());
    }
}
