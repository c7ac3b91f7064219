//! A stream behind a thread: whoever speaks never waits. It knows nothing of what is said.
//!
//! ```text
//!   say() ──► lines that wait (bounded; beyond it they are counted and dropped) ──► thread: one write at a time ──► out
//! ```

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait to be written, at most. As many may be in the hands of the thread.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Makes the line that stands for so many lines that were dropped.
pub(crate) type Notice = fn(u64) -> String;

/// A stream that takes lines without waiting. Its thread lives as long as the process.
#[derive(Debug)]
pub(super) struct Outlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    /// Lines dropped after the last one that waits.
    dropped: u64,
    /// The thread has something in its hands.
    writing: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }
}

impl Outlet {
    /// Starts the thread `name` that writes to `out`. Errors: no thread can be had.
    pub(super) fn open(mut out: impl Write + Send + 'static, name: &str, notice: Notice) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || ours.write_to(&mut out, notice))?;
        Ok(Self(shared))
    }

    /// Takes whole lines. When they do not fit they are dropped, and so is everything up to the notice that says so.
    pub(super) fn say(&self, lines: &[u8]) {
        let mut queue = self.0.lock();
        if queue.dropped > 0 || queue.waiting.len() + lines.len() > WAITING_BYTES_MAX {
            queue.dropped += lines.iter().filter(|byte| **byte == b'\n').count().max(1) as u64;
        } else {
            queue.waiting.extend_from_slice(lines);
        }
        self.0.filled.notify_one();
    }

    /// Waits, up to `grace`, until everything said is written; whether it is.
    pub(super) fn finish(&self, grace: Duration) -> bool {
        let busy = |queue: &mut Queue| queue.writing || !queue.is_empty();
        let waited = self.0.drained.wait_timeout_while(self.0.lock(), grace, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, out: &mut impl Write, notice: Notice) {
        loop {
            let (lines, dropped) = self.take();
            // A reader that is gone must end nothing here, and there is nobody left to tell.
            let _ = out.write_all(&lines);
            if dropped > 0 {
                let _ = out.write_all(format!("{}\n", notice(dropped)).as_bytes());
            }
        }
    }

    /// Waits for something to write. What was taken before is written now.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut queue = self.lock();
        queue.writing = false;
        if queue.is_empty() {
            self.drained.notify_all();
        }
        let filled = self.filled.wait_while(queue, |queue| queue.is_empty());
        let mut queue = filled.unwrap_or_else(PoisonError::into_inner);
        queue.writing = true;
        (std::mem::take(&mut queue.waiting), std::mem::take(&mut queue.dropped))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Longest wait for anything that must come.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A reader: says when a write begins, and lets each go on when it is told to.
    struct Reader {
        begun: SyncSender<()>,
        go_on: Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            // An error means that the test reads freely from now on.
            let _ = self.go_on.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Fixture {
        outlet: Outlet,
        begun: Receiver<()>,
        go_on: SyncSender<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let ((begin, begun), (go_on, going)) = (sync_channel(64), sync_channel(64));
            let read = Arc::default();
            let reader = Reader { begun: begin, go_on: going, read: Arc::clone(&read) };
            let outlet = Outlet::open(reader, "outlet", |lines| format!("… {lines} dropped")).unwrap();
            Self { outlet, begun, go_on, read }
        }

        /// A fixture whose reader stalls in the middle of its first line.
        fn stalled() -> Self {
            let fixture = Self::new();
            fixture.outlet.say(b"first\n");
            fixture.begun.recv_timeout(PATIENCE).unwrap();
            fixture
        }

        /// Everything that was read, once it is all written.
        fn read(self) -> String {
            drop((self.go_on, self.begun));
            assert!(self.outlet.finish(PATIENCE), "it is never written");
            String::from_utf8(std::mem::take(&mut self.read.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn lines_come_out_in_the_order_they_were_said() {
        let fixture = Fixture::stalled();
        fixture.outlet.say(b"second\n");
        fixture.outlet.say(b"third\n");
        assert_eq!(fixture.read(), "first\nsecond\nthird\n");
    }

    #[test]
    fn nobody_waits_for_a_stalled_reader_and_what_it_missed_is_counted() {
        let fixture = Fixture::stalled();
        let line = format!("{}\n", "x".repeat(1023));
        let fit = WAITING_BYTES_MAX / line.len();
        (0..fit + 5).for_each(|_| fixture.outlet.say(line.as_bytes()));
        fixture.outlet.say(b"a\nb\n");
        // The stalled write goes on; the notice comes after what still fitted.
        (0..2).for_each(|_| fixture.go_on.send(()).unwrap());
        fixture.begun.recv_timeout(PATIENCE).unwrap();
        fixture.begun.recv_timeout(PATIENCE).unwrap();
        fixture.outlet.say(b"last\n");
        let read = fixture.read();
        assert!(read.starts_with("first\nxxx"), "{}", &read[..20]);
        assert_eq!(read.matches('x').count(), fit * 1023);
        assert!(read.ends_with("x\n… 7 dropped\nlast\n"), "{}", &read[read.len() - 40..]);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_never_comes_back() {
        let fixture = Fixture::stalled();
        assert!(!fixture.outlet.finish(Duration::from_millis(10)));
        assert_eq!(fixture.read(), "first\n");
    }
}
