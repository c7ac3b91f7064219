//! How many runs of an agent are at work at once. Says nothing about sessions: those wait in their own lines.

use std::sync::Arc;

use mainstay_core::{Error, Name, Result, codes};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The seats of one agent. They outlive a reload, so that runs of the old and the new table count together.
#[derive(Debug)]
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    max: u32,
    /// Seats to be withdrawn as soon as they are given back, after the bound was lowered.
    owed: u32,
}

/// A seat taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Seats {
    pub(crate) fn new(max: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(max as usize));
        Arc::new(Self { free, size: Mutex::new(Size { max, owed: 0 }) })
    }

    /// Takes a seat now. Errors: `OVERLOADED` when none is free or others already wait.
    pub(crate) fn take(self: &Arc<Self>, agent: &Name) -> Result<Seat> {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| {
            Error::new(&codes::OVERLOADED, format!("agent `{agent}` is at its limit of runs at once"))
                .with_help("try again shortly, or raise the agent's `concurrency_max`")
        })?;
        Ok(Seat { seats: self.clone(), permit: Some(permit) })
    }

    /// Waits for a seat, first come, first served.
    pub(crate) async fn wait(self: &Arc<Self>) -> Seat {
        let permit = self.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        Seat { seats: self.clone(), permit: Some(permit) }
    }

    /// Sets a new bound. Runs at work keep their seats.
    pub(crate) fn resize(&self, max: u32) {
        let mut size = self.size.lock();
        if max >= size.max {
            let forgiven = size.owed.min(max - size.max);
            size.owed -= forgiven;
            self.free.add_permits((max - size.max - forgiven) as usize);
        } else {
            let fewer = size.max - max;
            let withdrawn = self.free.forget_permits(fewer as usize);
            size.owed += fewer - u32::try_from(withdrawn).expect("at most `fewer` seats are withdrawn");
        }
        size.max = max;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut size = self.seats.size.lock();
        if let Some(permit) = self.permit.take()
            && size.owed > 0
        {
            size.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Name {
        Name::parse("a").unwrap()
    }

    #[test]
    fn no_more_seats_are_taken_than_there_are() {
        let seats = Seats::new(2);
        let first = seats.take(&agent()).unwrap();
        let _second = seats.take(&agent()).unwrap();
        assert_eq!(seats.take(&agent()).unwrap_err().code().id, "OVERLOADED");
        drop(first);
        assert!(seats.take(&agent()).is_ok());
    }

    #[test]
    fn a_lowered_bound_holds_once_the_seats_come_back() {
        let seats = Seats::new(3);
        let taken: Vec<_> = (0..3).map(|_| seats.take(&agent()).unwrap()).collect();
        seats.resize(1);
        drop(taken);
        let _only = seats.take(&agent()).unwrap();
        assert!(seats.take(&agent()).is_err());
    }

    #[test]
    fn a_bound_lowered_and_raised_again_is_the_bound() {
        let seats = Seats::new(3);
        let taken: Vec<_> = (0..3).map(|_| seats.take(&agent()).unwrap()).collect();
        seats.resize(1);
        seats.resize(4);
        let _fourth = seats.take(&agent()).unwrap();
        assert!(seats.take(&agent()).is_err());
        drop(taken);
        let again: Vec<_> = (0..3).map(|_| seats.take(&agent())).collect();
        assert!(again.iter().all(Result::is_ok));
        assert!(seats.take(&agent()).is_err());
    }

    #[tokio::test]
    async fn a_newcomer_does_not_overtake_those_who_wait() {
        let seats = Seats::new(1);
        let first = seats.take(&agent()).unwrap();
        let waiting = seats.wait();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        assert!(seats.take(&agent()).is_err());
        assert!(futures_util::poll!(waiting.as_mut()).is_ready());
    }
}
