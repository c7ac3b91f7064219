//! When something is tried again: the waits of one call, and which answers are worth another attempt.

use std::time::Duration;

use mainstay_core::resiliency::{Backoff, Retry};
use tokio::time::Instant;

/// Answers below this are codes of remote calls, from here on statuses of a request-response protocol.
const STATUS_MIN: u16 = 100;
/// The longest wait, whatever a file says: a call that waits longer is forgotten by whoever made it.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether an attempt that was answered like this is worth another. Without an answer it is: nobody was reached.
pub(super) fn is_worth_it(retry: &Retry, answer: Option<u16>) -> bool {
    let Some(answer) = answer else { return true };
    let ranges = if answer < STATUS_MIN { &retry.codes } else { &retry.statuses };
    let fits = |range: &(u16, u16)| (range.0..=range.1).contains(&answer);
    ranges.as_ref().is_none_or(|ranges| ranges.iter().any(fits))
}

/// The waits of one call.
#[derive(Debug)]
pub(super) struct Waits {
    retry: Retry,
    tried: u32,
    began: Instant,
    /// The next wait of an exponential backoff, before it is made uneven.
    next: Duration,
}

impl Waits {
    /// The waits of a call that begins now.
    pub(super) fn new(retry: &Retry) -> Self {
        let next = match retry.backoff {
            Backoff::Constant(wait) => wait,
            Backoff::Exponential { initial, wait_max, .. } => initial.min(wait_max),
        };
        Self { retry: retry.clone(), tried: 0, began: Instant::now(), next }
    }

    /// The wait before the next attempt; `None` when there is none. `chance`: anything from 0 to 1.
    pub(super) fn next(&mut self, chance: f64) -> Option<Duration> {
        if self.retry.retries_max.is_some_and(|most| self.tried >= most) {
            return None;
        }
        self.tried = self.tried.saturating_add(1);
        let Backoff::Exponential { factor, jitter, wait_max, elapsed_max, .. } = self.retry.backoff else {
            return Some(self.next.min(WAIT_MAX));
        };
        let wait = uneven(self.next, jitter, chance).min(WAIT_MAX);
        self.next = longer(self.next, factor).min(wait_max);
        let is_over = elapsed_max.is_some_and(|most| self.began.elapsed() + wait > most);
        (!is_over).then_some(wait)
    }
}

/// `wait`, off by as much as `jitter` of it to either side.
fn uneven(wait: Duration, jitter: f64, chance: f64) -> Duration {
    let share = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * chance - 1.0);
    Duration::try_from_secs_f64(wait.as_secs_f64() * share).unwrap_or(WAIT_MAX)
}

fn longer(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(WAIT_MAX)
}

/// Anything from 0 to 1, another each time.
pub(super) fn chance() -> f64 {
    // The low bits of such an id are random; enough of them for a share.
    let bits = uuid::Uuid::now_v7().as_u128() & u128::from(u32::MAX);
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(backoff: Backoff, retries_max: Option<u32>) -> Retry {
        Retry {
            backoff,
            retries_max,
            statuses: Some(vec![(429, 429), (500, 503)]),
            codes: Some(vec![(14, 14)]),
        }
    }

    fn waits(retry: &Retry, chances: &[f64]) -> Vec<Option<u128>> {
        let mut waits = Waits::new(retry);
        chances.iter().map(|chance| waits.next(*chance).map(|wait| wait.as_millis())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn constant_waits_are_equal_and_counted() {
        let retry = retry(Backoff::Constant(Duration::from_secs(5)), Some(2));
        assert_eq!(waits(&retry, &[0.0, 1.0, 0.5]), [Some(5_000), Some(5_000), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn exponential_waits_grow_to_their_bound_and_are_uneven() {
        let backoff = Backoff::Exponential {
            initial: Duration::from_millis(500),
            factor: 2.0,
            jitter: 0.5,
            wait_max: Duration::from_millis(1_500),
            elapsed_max: None,
        };
        let retry = retry(backoff, None);
        assert_eq!(waits(&retry, &[0.5, 0.0, 1.0, 0.5]), [Some(500), Some(500), Some(2_250), Some(1_500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_time_is_over_there_is_no_other_attempt() {
        let backoff = Backoff::Exponential {
            initial: Duration::from_secs(1),
            factor: 1.0,
            jitter: 0.0,
            wait_max: Duration::from_secs(1),
            elapsed_max: Some(Duration::from_millis(2_500)),
        };
        let mut waits = Waits::new(&retry(backoff, None));
        assert!(waits.next(0.5).is_some());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(waits.next(0.5).is_none());
    }

    #[test]
    fn only_answers_that_match_are_worth_another_attempt() {
        let retry = retry(Backoff::Constant(Duration::ZERO), None);
        let check = |answer: Option<u16>, expect: bool| {
            assert_eq!(is_worth_it(&retry, answer), expect, "{answer:?}");
        };
        check(None, true);
        check(Some(429), true);
        check(Some(502), true);
        check(Some(404), false);
        check(Some(14), true);
        check(Some(2), false);
        let open = Retry { statuses: None, codes: None, ..retry.clone() };
        assert!(is_worth_it(&open, Some(404)) && is_worth_it(&open, Some(2)));
    }

    #[test]
    fn chance_is_a_share() {
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..=1.0).contains(&chance)));
    }
}
