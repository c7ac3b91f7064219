//! What wakes the view's thread: enough records, a reader, the time, or the end.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::log::Lsn;
use crate::log::writer::DurableListener;

/// What wakes the thread.
#[derive(Debug)]
pub(crate) struct Bell {
    rows_max: u64,
    delay: Duration,
    state: Mutex<Heard>,
    ring: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    durable: Lsn,
    wanted: Lsn,
    applied: Lsn,
    stop: bool,
    idle: bool,
}

impl Heard {
    /// Records to apply. The thread may be further than it has heard: it reads the end that is published first.
    fn behind(&self) -> u64 {
        self.durable.saturating_sub(self.applied)
    }
}

impl Bell {
    pub(crate) fn new(rows_max: u64, delay: Duration, applied: Lsn) -> Self {
        let state = Mutex::new(Heard { durable: applied, applied, ..Heard::default() });
        Self { rows_max, delay, state, ring: Condvar::new() }
    }

    /// A reader waits for `lsn`.
    pub(crate) fn want(&self, lsn: Lsn) {
        let mut heard = self.state.lock();
        if heard.wanted < lsn {
            heard.wanted = lsn;
            self.ring.notify_one();
        }
    }

    /// How many records are applied in one commit, about.
    pub(crate) fn rows_max(&self) -> u64 {
        self.rows_max
    }

    /// Everything up to `lsn` is applied.
    pub(crate) fn applied(&self, lsn: Lsn) {
        self.state.lock().applied = lsn;
    }

    /// Whether the view is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    /// There is nothing more to come.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.ring.notify_one();
    }

    /// Waits a little before the next attempt; `false` when there is to be none.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut heard = self.state.lock();
        let deadline = Instant::now() + time;
        while !heard.stop && !self.ring.wait_until(&mut heard, deadline).timed_out() {}
        !heard.stop
    }

    /// Waits until it is time to commit; `false` when there is nothing more to do ever.
    pub(crate) fn wait(&self) -> bool {
        let mut heard = self.state.lock();
        while heard.behind() == 0 {
            if heard.stop {
                return false;
            }
            heard.idle = true;
            self.ring.wait(&mut heard);
        }
        heard.idle = false;
        let deadline = Instant::now() + self.delay;
        while !heard.stop && heard.wanted <= heard.applied && heard.behind() < self.rows_max {
            if self.ring.wait_until(&mut heard, deadline).timed_out() {
                break;
            }
        }
        true
    }
}

impl DurableListener for Bell {
    fn durable(&self, lsn: Lsn) {
        let mut heard = self.state.lock();
        let was_short = heard.behind() < self.rows_max;
        heard.durable = lsn;
        let is_enough = heard.behind() >= self.rows_max;
        if heard.idle || (was_short && is_enough) {
            self.ring.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell(applied: Lsn) -> Bell {
        Bell::new(5, Duration::from_secs(3600), applied)
    }

    #[test]
    fn the_thread_may_be_ahead_of_what_it_has_heard() {
        let bell = bell(10);
        bell.durable(8);
        bell.durable(9);
        assert_eq!(bell.state.lock().behind(), 0);
        bell.stop();
        assert!(!bell.wait(), "there is nothing to do");
    }

    #[test]
    fn a_reader_or_enough_records_end_the_wait_before_its_time() {
        let wanted = bell(10);
        wanted.durable(11);
        wanted.want(11);
        assert!(wanted.wait());
        let enough = bell(10);
        enough.durable(15);
        assert!(enough.wait());
    }
}
