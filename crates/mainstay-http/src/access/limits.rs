//! What one key may use: requests a minute, and requests at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use mainstay_core::{Error, Result, Retry, codes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Key;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The wait to suggest when all seats are taken: a seat is free as soon as an answer ends.
const SEAT_WAIT: Duration = Duration::from_secs(1);

/// The bounds of a key, and how far they are used.
pub(super) struct Limits {
    per_minute: Option<(NonZeroU32, Limiter)>,
    at_once: Option<(NonZeroU32, Arc<Semaphore>)>,
}

/// How a key stands with its rate after this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests a minute.
    pub(crate) limit: u32,
    /// Requests that could be made at once now.
    pub(crate) remaining: u32,
}

impl Limits {
    pub(super) fn new(key: &Key) -> Self {
        let limiter = |rate| {
            let limiter = RateLimiter::direct(Quota::per_minute(rate));
            (rate, limiter.with_middleware::<StateInformationMiddleware>())
        };
        let seats = |max: NonZeroU32| (max, Arc::new(Semaphore::new(max.get() as usize)));
        Self { per_minute: key.requests_per_minute.map(limiter), at_once: key.concurrency.map(seats) }
    }

    /// Whether these are the bounds that `key` asks for.
    pub(super) fn are_of(&self, key: &Key) -> bool {
        self.per_minute.as_ref().map(|(rate, _)| *rate) == key.requests_per_minute
            && self.at_once.as_ref().map(|(max, _)| *max) == key.concurrency
    }

    /// Counts a request. Errors: `RATE_LIMITED`, with the wait until the next one is possible.
    pub(super) fn rate(&self) -> Result<Option<Rate>> {
        let Some((limit, limiter)) = &self.per_minute else { return Ok(None) };
        match limiter.check() {
            Ok(state) => Ok(Some(Rate { limit: limit.get(), remaining: state.remaining_burst_capacity() })),
            Err(until) => {
                let wait = until.wait_time_from(limiter.clock().now());
                let message = format!("the key may make {limit} requests a minute");
                Err(Error::new(&codes::RATE_LIMITED, message).with_retry(Retry::Temporary(Some(wait))))
            }
        }
    }

    /// How the key stands when its rate is used up.
    pub(super) fn used_up(&self) -> Option<Rate> {
        self.per_minute.as_ref().map(|(limit, _)| Rate { limit: limit.get(), remaining: 0 })
    }

    /// Takes a seat. Errors: `CONCURRENCY_LIMITED`.
    pub(super) fn seat(&self) -> Result<Option<OwnedSemaphorePermit>> {
        let Some((max, seats)) = &self.at_once else { return Ok(None) };
        let seat = Arc::clone(seats).try_acquire_owned().map_err(|_| {
            let message = format!("the key may have {max} requests in flight");
            Error::new(&codes::CONCURRENCY_LIMITED, message).with_retry(Retry::Temporary(Some(SEAT_WAIT)))
        })?;
        Ok(Some(seat))
    }
}
