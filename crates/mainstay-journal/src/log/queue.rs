//! What waits for the log thread: bytes in one buffer, and one slot for each waiting append.
//!
//! Two buffers take turns, so appends are taken in while the other is written and synced. An append costs no
//! allocation here; a batch is acknowledged by waking its slots in one pass. It does no I/O.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainstay_core::{Error, Result, Retry, codes};
use parking_lot::{Condvar, Mutex};

use super::record::Group;
use crate::damage::unavailable;

/// A buffer that one burst made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// The queue between appends and the log thread.
#[derive(Debug)]
pub(crate) struct Queue {
    bytes_max: usize,
    appends_max: usize,
    state: Mutex<State>,
    work: Condvar,
    /// Batches up to this number are durable.
    durable: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    pending: Batch,
    /// The slots of the batch that is being written.
    writing: (u64, Vec<Option<Waker>>),
    stopped: Option<Stop>,
    idle: bool,
}

/// Why nothing more is taken in.
#[derive(Clone, Debug)]
enum Stop {
    Closing,
    Failed(Arc<str>),
}

/// Appends that are written and synced together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) appends: usize,
    pub(crate) records: u64,
    /// Whether the segment is to be closed after this batch.
    pub(crate) rotate: bool,
    slots: Vec<Option<Waker>>,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize, appends_max: usize) -> Self {
        // Number 0 is durable from the start, so the first batch is 1.
        let state = State { pending: Batch { number: 1, ..Batch::default() }, ..State::default() };
        let (work, durable) = (Condvar::new(), AtomicU64::new(0));
        Self { bytes_max, appends_max, state: Mutex::new(state), work, durable }
    }

    /// Takes a group in; the future ends when it is durable. Errors: `OVERLOADED`, `JOURNAL_UNAVAILABLE`.
    pub(crate) fn submit(self: &Arc<Self>, group: &Group) -> Result<Acknowledged> {
        let bytes = group.bytes();
        if bytes.len() > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        let mut state = self.state.lock();
        state.accepts()?;
        let pending = &mut state.pending;
        let at = pending.bytes.len();
        if at + bytes.len() > self.bytes_max || pending.appends >= self.appends_max {
            return Err(overloaded());
        }
        pending.bytes.extend_from_slice(bytes);
        pending.appends += 1;
        pending.records += group.records();
        Ok(self.enlist(state, at))
    }

    /// Asks for the active segment to be closed; the future ends when it is.
    pub(crate) fn submit_rotation(self: &Arc<Self>) -> Result<Acknowledged> {
        let mut state = self.state.lock();
        state.accepts()?;
        state.pending.rotate = true;
        Ok(self.enlist(state, 0))
    }

    fn enlist(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>, at: usize) -> Acknowledged {
        state.pending.slots.push(None);
        let (batch, slot) = (state.pending.number, state.pending.slots.len() - 1);
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Acknowledged { queue: self.clone(), batch, slot, at }
    }

    /// Ends when the batch is durable, which was taken in before.
    pub(crate) fn follow(self: &Arc<Self>, batch: u64) -> Acknowledged {
        let mut state = self.state.lock();
        let slots =
            if state.pending.number == batch { &mut state.pending.slots } else { &mut state.writing.1 };
        let slot = slots.len();
        // Nobody wakes a slot of a batch that was acknowledged meanwhile, nor has to.
        if self.durable() < batch {
            slots.push(None);
        }
        drop(state);
        Acknowledged { queue: self.clone(), batch, slot, at: 0 }
    }

    /// Batches up to this number are durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Waits for work and swaps it for the `empty` batch; `None` when the queue is closed and drained.
    pub(crate) fn take(&self, mut empty: Batch) -> Option<Batch> {
        let mut state = self.state.lock();
        while state.pending.slots.is_empty() {
            if state.stopped.is_some() {
                return None;
            }
            state.idle = true;
            self.work.wait(&mut state);
        }
        state.idle = false;
        empty.clear(state.pending.number + 1);
        let mut batch = std::mem::replace(&mut state.pending, empty);
        let free = std::mem::take(&mut state.writing.1);
        state.writing = (batch.number, std::mem::replace(&mut batch.slots, free));
        Some(batch)
    }

    /// Appends that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().pending.appends
    }

    /// Whether nothing more is taken in.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stopped.is_some()
    }

    /// Lets more appends gather, unless the queue is closing.
    pub(crate) fn linger(&self, time: Duration) {
        if !self.is_stopped() {
            std::thread::sleep(time);
        }
    }

    /// Acknowledges the batch that `take` gave last.
    pub(crate) fn acknowledge(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        self.durable.store(batch.number, Ordering::Release);
        batch.slots = std::mem::take(&mut state.writing.1);
        drop(state);
        batch.slots.drain(..).flatten().for_each(Waker::wake);
    }

    /// From now on every append fails, also those that wait.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = self.state.lock();
        state.stopped = Some(Stop::Failed(why.into()));
        let waiting = std::mem::take(&mut state.pending.slots);
        let writing = std::mem::take(&mut state.writing.1);
        drop(state);
        waiting.into_iter().chain(writing).flatten().for_each(Waker::wake);
    }

    /// Takes nothing more in; what waits is still written.
    pub(crate) fn close(&self) {
        self.state.lock().stopped.get_or_insert(Stop::Closing);
        self.work.notify_one();
    }

    fn poll(&self, batch: u64, slot: usize, waker: &Waker) -> Poll<Result<()>> {
        if self.durable.load(Ordering::Acquire) >= batch {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        if self.durable.load(Ordering::Acquire) >= batch {
            return Poll::Ready(Ok(()));
        }
        if let Some(Stop::Failed(why)) = &state.stopped {
            return Poll::Ready(Err(failed(why)));
        }
        let slots =
            if state.pending.number == batch { &mut state.pending.slots } else { &mut state.writing.1 };
        match &mut slots[slot] {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        Poll::Pending
    }
}

impl State {
    fn accepts(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(Stop::Closing) => Err(unavailable("the journal is closed").with_retry(Retry::Permanent)),
            Some(Stop::Failed(why)) => Err(failed(why)),
        }
    }
}

impl Batch {
    fn clear(&mut self, number: u64) {
        self.bytes.clear();
        if self.bytes.capacity() > BUFFER_BYTES_KEPT {
            self.bytes = Vec::new();
        }
        self.slots.clear();
        (self.number, self.appends, self.records, self.rotate) = (number, 0, 0, false);
    }
}

/// Ends when the append is durable. Dropping it does not take the append back.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    queue: Arc<Queue>,
    batch: u64,
    slot: usize,
    at: usize,
}

impl Acknowledged {
    /// Where in the batch the append begins, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The batch that carries the append.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }
}

impl Future for Acknowledged {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.queue.poll(self.batch, self.slot, cx.waker())
    }
}

fn overloaded() -> Error {
    Error::new(&codes::OVERLOADED, "the disk cannot keep up with the writes")
        .with_help("try again a little later")
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("one append holds more than {bytes_max} bytes"))
        .with_help("append fewer records at once")
}

fn failed(why: &str) -> Error {
    unavailable("nothing more can be written until a restart")
        .with_help("free space or repair the disk, then restart; everything acknowledged before is kept")
        .with_internal(why)
        .with_retry(Retry::Permanent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(bytes_max: usize, appends_max: usize) -> Arc<Queue> {
        Arc::new(Queue::new(bytes_max, appends_max))
    }

    fn poll(future: &mut Acknowledged) -> Poll<Result<()>> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_append_is_pending_until_its_own_batch_is_acknowledged() {
        let queue = queue(1 << 20, 10);
        let group = Group::of(20, b"x");
        let mut first = queue.submit(&group).unwrap();
        let mut batch = queue.take(Batch::default()).unwrap();
        let mut second = queue.submit(&group).unwrap();
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        queue.acknowledge(&mut batch);
        assert!(matches!(poll(&mut first), Poll::Ready(Ok(()))));
        assert!(poll(&mut second).is_pending());
        let mut batch = queue.take(batch).unwrap();
        assert_eq!((batch.appends, batch.records, batch.bytes.len()), (1, 1, group.bytes().len()));
        queue.acknowledge(&mut batch);
        assert!(matches!(poll(&mut second), Poll::Ready(Ok(()))));
    }

    #[test]
    fn the_queue_is_bounded_by_bytes_and_by_appends() {
        let group = Group::of(20, &[0; 100]);
        for queue in [queue(group.bytes().len() * 2, 10), queue(1 << 20, 2)] {
            let _kept = (queue.submit(&group).unwrap(), queue.submit(&group).unwrap());
            assert_eq!(queue.submit(&group).unwrap_err().code(), &codes::OVERLOADED);
            let _ = queue.take(Batch::default()).unwrap();
            assert!(queue.submit(&group).is_ok(), "a drained queue takes in again");
        }
        let error = queue(64, 10).submit(&group).unwrap_err();
        assert_eq!(error.code(), &codes::INVALID_FIELD, "what can never fit is not called overload");
    }

    #[test]
    fn a_failure_reaches_the_waiting_and_the_coming() {
        let queue = queue(1 << 20, 10);
        let group = Group::of(20, b"x");
        let mut writing = queue.submit(&group).unwrap();
        let _batch = queue.take(Batch::default()).unwrap();
        let mut waiting = queue.submit(&group).unwrap();
        assert!(poll(&mut writing).is_pending() && poll(&mut waiting).is_pending());
        queue.fail("EIO");
        for future in [&mut writing, &mut waiting] {
            let Poll::Ready(Err(error)) = poll(future) else { panic!("the append is still pending") };
            assert_eq!(error.code(), &codes::JOURNAL_UNAVAILABLE);
        }
        assert_eq!(queue.submit(&group).unwrap_err().code(), &codes::JOURNAL_UNAVAILABLE);
    }

    #[test]
    fn a_closed_queue_is_drained_and_then_ends() {
        let queue = queue(1 << 20, 10);
        let mut last = queue.submit(&Group::of(20, b"x")).unwrap();
        queue.close();
        assert!(queue.submit(&Group::of(20, b"x")).is_err());
        let mut batch = queue.take(Batch::default()).unwrap();
        queue.acknowledge(&mut batch);
        assert!(matches!(poll(&mut last), Poll::Ready(Ok(()))));
        assert!(queue.take(batch).is_none());
    }
}
