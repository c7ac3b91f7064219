//! A circuit breaker: when too much fails, nothing is tried for a while, and then a little.
//!
//! ```text
//! closed ── trip holds after a failure ──► open ── timeout over ──► half open ── maxRequests successes in a row ──► closed
//!                                           ▲                           │
//!                                           └──────── a failure ────────┘
//! ```

use std::sync::{Mutex, PoisonError};

use cel::{Context, Program, Value};
use mainstay_core::resiliency;
use mainstay_core::{Error, Result, codes};
use tokio::time::Instant;

/// Failures in a row after which a breaker without a condition of its own opens.
const FAILURES_MAX: i64 = 5;
/// What conditions may speak of.
const NAMES: [&str; 5] =
    ["requests", "totalSuccesses", "totalFailures", "consecutiveSuccesses", "consecutiveFailures"];

/// A breaker as a file describes it, its condition compiled.
#[derive(Debug)]
pub(super) struct Plan {
    name: String,
    settings: resiliency::Breaker,
    trip: Option<Program>,
}

impl Plan {
    /// Compiles a breaker. Errors: `CONFIG_VALUE` for a condition that is none, or speaks of what there is not.
    pub(super) fn new(name: &str, settings: &resiliency::Breaker) -> Result<Self> {
        let fault = |why: String| {
            Error::new(&codes::CONFIG_VALUE, format!("`trip` of the circuit breaker `{name}`: {why}"))
                .with_help(format!("it is a condition over {}", NAMES.join(", ")))
        };
        let text = settings.trip.as_deref().filter(|text| !text.trim().is_empty());
        let trip = text.map(Program::compile).transpose().map_err(|error| fault(error.to_string()))?;
        if let Some(trip) = &trip {
            let references = trip.references();
            if let Some(odd) = references.variables().into_iter().find(|one| !NAMES.contains(one)) {
                return Err(fault(format!("there is no `{odd}`")));
            }
        }
        Ok(Self { name: name.to_owned(), settings: settings.clone(), trip })
    }
}

/// A breaker at work.
#[derive(Debug)]
pub(super) struct Breaker {
    plan: std::sync::Arc<Plan>,
    /// What it is for, for the log.
    subject: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Another one whenever counting begins anew: what belongs to an earlier one does not count.
    generation: u64,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until then it counts; for ever without.
    Closed(Option<Instant>),
    Open(Instant),
    HalfOpen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: i64,
    successes: i64,
    failures: i64,
    successes_in_row: i64,
    failures_in_row: i64,
}

/// Leave to make a call. Dropped without a word on how it went, it counts as if there had been no call.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    generation: u64,
    is_told: bool,
}

impl Breaker {
    pub(super) fn new(plan: &std::sync::Arc<Plan>, subject: &str) -> Self {
        let inner = Inner {
            state: State::Closed(end_of_interval(&plan.settings)),
            generation: 0,
            counts: Counts::default(),
        };
        Self { plan: std::sync::Arc::clone(plan), subject: subject.to_owned(), inner: Mutex::new(inner) }
    }

    /// Leave to make a call now. Errors: `CIRCUIT_OPEN`.
    pub(super) fn enter(&self) -> Result<Permit<'_>> {
        let mut inner = self.lock();
        self.turn(&mut inner);
        match inner.state {
            State::Open(_) => return Err(refused("circuit breaker is open")),
            State::HalfOpen if inner.counts.requests >= i64::from(self.plan.settings.requests_max) => {
                return Err(refused("too many requests"));
            }
            _ => inner.counts.requests += 1,
        }
        Ok(Permit { breaker: self, generation: inner.generation, is_told: false })
    }

    /// Takes what time alone changes.
    fn turn(&self, inner: &mut Inner) {
        let now = Instant::now();
        match inner.state {
            State::Closed(Some(end)) if end <= now => {
                self.become_(inner, State::Closed(end_of_interval(&self.plan.settings)));
            }
            State::Open(end) if end <= now => self.become_(inner, State::HalfOpen),
            _ => {}
        }
    }

    fn become_(&self, inner: &mut Inner, state: State) {
        let is_news = std::mem::discriminant(&inner.state) != std::mem::discriminant(&state);
        (inner.state, inner.counts) = (state, Counts::default());
        inner.generation += 1;
        if is_news {
            let word = match state {
                State::Closed(_) => "closed",
                State::Open(_) => "open",
                State::HalfOpen => "half open",
            };
            tracing::warn!(breaker = %self.plan.name, of = %self.subject, "a circuit breaker is now {word}");
        }
    }

    fn tell(&self, generation: u64, is_success: bool) {
        let mut inner = self.lock();
        self.turn(&mut inner);
        if inner.generation != generation {
            return;
        }
        let counts = &mut inner.counts;
        if is_success {
            counts.successes += 1;
            counts.successes_in_row += 1;
            counts.failures_in_row = 0;
        } else {
            counts.failures += 1;
            counts.failures_in_row += 1;
            counts.successes_in_row = 0;
        }
        let settings = &self.plan.settings;
        match inner.state {
            State::HalfOpen if !is_success => self.open(&mut inner),
            State::HalfOpen if inner.counts.successes_in_row >= i64::from(settings.requests_max) => {
                self.become_(&mut inner, State::Closed(end_of_interval(settings)));
            }
            State::Closed(_) if !is_success && trips(&self.plan, inner.counts) => self.open(&mut inner),
            _ => {}
        }
    }

    fn open(&self, inner: &mut Inner) {
        self.become_(inner, State::Open(Instant::now() + self.plan.settings.timeout));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Says how the call went.
    pub(super) fn tell(mut self, is_success: bool) {
        self.is_told = true;
        self.breaker.tell(self.generation, is_success);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let mut inner = self.breaker.lock();
        if inner.generation == self.generation {
            inner.counts.requests -= 1;
        }
    }
}

fn end_of_interval(settings: &resiliency::Breaker) -> Option<Instant> {
    (!settings.interval.is_zero()).then(|| Instant::now() + settings.interval)
}

/// Whether counts open a breaker. A condition that gives no yes or no does not: shutting out is not the safe side.
fn trips(plan: &Plan, counts: Counts) -> bool {
    let Some(trip) = &plan.trip else { return counts.failures_in_row > FAILURES_MAX };
    let mut context = Context::default();
    let values =
        [counts.requests, counts.successes, counts.failures, counts.successes_in_row, counts.failures_in_row];
    for (name, value) in NAMES.into_iter().zip(values) {
        context.add_variable_from_value(name, value);
    }
    matches!(trip.execute(&context), Ok(Value::Bool(true)))
}

fn refused(why: &str) -> Error {
    Error::new(&codes::CIRCUIT_OPEN, why)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn breaker(trip: Option<&str>, requests_max: u32, interval_s: u64) -> Breaker {
        let settings = resiliency::Breaker {
            requests_max,
            interval: Duration::from_secs(interval_s),
            timeout: Duration::from_secs(10),
            trip: trip.map(str::to_owned),
        };
        Breaker::new(&Arc::new(Plan::new("cb", &settings).unwrap()), "orders")
    }

    /// What happens, one letter a step: `s` a call that succeeds, `f` one that fails, `x` one that is refused, `.` a
    /// second, `>` ten seconds.
    async fn check(breaker: &Breaker, steps: &str) {
        for (at, step) in steps.chars().enumerate() {
            match step {
                '.' => tokio::time::advance(Duration::from_secs(1)).await,
                '>' => tokio::time::advance(Duration::from_secs(10)).await,
                'x' => {
                    let error = breaker.enter().map(drop).unwrap_err();
                    assert_eq!(error.code(), &codes::CIRCUIT_OPEN, "step {at} of {steps}");
                }
                _ => breaker.enter().unwrap_or_else(|_| panic!("step {at} of {steps}")).tell(step == 's'),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_more_than_five_failures_in_a_row_and_tries_again_after_its_time() {
        check(&breaker(None, 1, 0), "ffffsffffffx.x>sss").await;
        check(&breaker(None, 1, 0), "ffffffx>fx>s").await;
    }

    #[tokio::test(start_paused = true)]
    async fn its_condition_decides() {
        check(&breaker(Some("consecutiveFailures > 1"), 1, 0), "fsffx").await;
        check(&breaker(Some("requests >= 4 && totalFailures * 2 >= requests"), 1, 0), "fssfx").await;
        check(&breaker(Some("totalFailures / (requests - requests) > 1"), 1, 0), "ffffffff").await;
        check(&breaker(Some("requests + 1"), 1, 0), "ffffffff").await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_forgets_its_counts_at_each_interval() {
        check(&breaker(Some("totalFailures > 1"), 1, 5), "f.....f.fx").await;
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_it_lets_a_few_calls_through_at_once_and_closes_when_they_succeed() {
        let breaker = breaker(Some("consecutiveFailures > 0"), 2, 0);
        check(&breaker, "f>").await;
        let (one, two) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        check(&breaker, "x").await;
        one.tell(true);
        check(&breaker, "x").await;
        two.tell(true);
        check(&breaker, "sss").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_does_not_block_it() {
        let breaker = breaker(Some("consecutiveFailures > 0"), 1, 0);
        check(&breaker, "f>").await;
        drop(breaker.enter().unwrap());
        check(&breaker, "ss").await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_it_opened_does_not_count_after() {
        let breaker = breaker(Some("consecutiveFailures > 0"), 1, 0);
        let late = breaker.enter().unwrap();
        check(&breaker, "f>").await;
        let probe = breaker.enter().unwrap();
        late.tell(false);
        probe.tell(true);
        check(&breaker, "s").await;
    }

    #[test]
    fn a_condition_that_is_none_is_told_when_it_is_read() {
        for trip in ["requests >", "failures > 1"] {
            let settings = resiliency::Breaker {
                requests_max: 1,
                interval: Duration::ZERO,
                timeout: Duration::ZERO,
                trip: Some(trip.to_owned()),
            };
            let error = Plan::new("cb", &settings).unwrap_err();
            assert!(error.code() == &codes::CONFIG_VALUE && error.message().contains("`cb`"), "{error}");
        }
    }
}
