//! Waiting for what passes by itself: no free descriptor, no memory. Only for what has not been begun, such as opening
//! a file; a failed write or sync is never tried again.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// The first pause; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether the cause passes without anyone's doing.
pub(crate) fn passes(cause: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR];
    passing.iter().any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
}

/// The pauses between attempts at one thing.
#[derive(Debug)]
pub(crate) struct Patience {
    pause: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { pause: PAUSE_MIN }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = PAUSE_MAX.min(pause * 2);
        pause
    }

    /// Whether this is the first attempt that failed.
    pub(crate) fn is_fresh(&self) -> bool {
        self.pause == PAUSE_MIN
    }

    /// Whether it has lasted for so long that others should be told.
    pub(crate) fn is_worn(&self) -> bool {
        self.pause == PAUSE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_passes_and_a_disk_that_fails_does_not() {
        for (errno, expect) in
            [(24, true), (23, true), (12, true), (4, true), (28, false), (5, false), (2, false)]
        {
            assert_eq!(passes(&io::Error::from_raw_os_error(errno)), expect, "{errno}");
        }
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let mut patience = Patience::new();
        assert!(patience.is_fresh() && !patience.is_worn());
        let pauses: Vec<Duration> = (0..12).map(|_| patience.pause()).collect();
        assert!(pauses.is_sorted() && pauses[0] == PAUSE_MIN && pauses[11] == PAUSE_MAX);
        assert!(!patience.is_fresh() && patience.is_worn());
    }
}
