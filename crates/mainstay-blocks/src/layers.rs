//! What stands around a call of a port. A block calls its port through a component's [`Guard`], never by itself, so
//! that what an operator asks for a component holds for each of its calls, whatever the block.
//!
//! From the outside in: the retry, the circuit breaker, the timeout. So each attempt has its own time, the breaker
//! counts attempts, and a breaker that is open ends the retry. A guard without policies is the call itself.

mod breaker;
mod policies;
mod retry;
#[cfg(test)]
pub(crate) mod tests;
mod timeout;

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::resiliency::Retry;
use mainstay_core::{Ctx, Error, Kind, Result};
use tokio_util::sync::CancellationToken;

use breaker::Breaker;
pub use policies::{AppGuard, Layers};
use retry::Waits;

/// What an operator asks for the calls of one component; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guard(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    /// What it is for, for the log.
    subject: String,
    timeout: Option<Duration>,
    retry: Option<Retry>,
    breaker: Option<Arc<Breaker>>,
}

/// What an attempt came to, as the policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be, or it is the caller's own fault: the other side answered.
    Fine,
    /// It failed, and would fail again.
    Permanent,
    /// It failed, and may succeed later. What the other side answered with, where it answered: as in
    /// [`Error::with_answer`].
    Temporary(Option<u16>),
}

impl Outcome {
    /// What an error of a port is.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Unavailable | Kind::Timeout | Kind::RateLimited => match error.retry() {
                mainstay_core::Retry::Temporary(_) => Self::Temporary(error.answer()),
                mainstay_core::Retry::Permanent => Self::Permanent,
            },
            Kind::Internal => Self::Permanent,
            // The backend is well; what it was asked is not.
            _ => Self::Fine,
        }
    }
}

impl Guard {
    fn new(
        subject: String,
        timeout: Option<Duration>,
        retry: Option<Retry>,
        breaker: Option<Arc<Breaker>>,
    ) -> Self {
        let is_empty = timeout.is_none() && retry.is_none() && breaker.is_none();
        Self((!is_empty).then(|| Arc::new(Rules { subject, timeout, retry, breaker })))
    }

    /// Makes a call, again where that is asked for and can help. It gets the context to be used for it. What the caller
    /// is to change (an etag that does not fit, an argument that is none) is never tried again. Errors, besides those
    /// of the call: `CIRCUIT_OPEN`; `DEADLINE_EXCEEDED` when an attempt took longer than it may.
    pub async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        ctx: &Ctx,
        call: impl Fn(Ctx) -> F + Send,
    ) -> Result<T> {
        self.run_judged(ctx, None, call, |ended| ended.as_ref().err().map_or(Outcome::Fine, Outcome::of))
            .await
    }

    /// The same for a call that answers each of its items by itself: what failed is tried again without the others.
    /// Attempts must not depend on the order of the items.
    pub async fn run_each<I, T, F>(
        &self,
        ctx: &Ctx,
        items: Vec<I>,
        call: impl Fn(Ctx, Vec<I>) -> F + Send,
    ) -> Vec<Result<T>>
    where
        I: Clone + Send,
        T: Send,
        F: Future<Output = Vec<Result<T>>> + Send,
    {
        let Some(rules) = &self.0 else { return call(ctx.clone(), items).await };
        let mut waits = rules.retry.as_ref().map(Waits::new);
        let mut done: Vec<Option<Result<T>>> = items.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..items.len()).collect();
        loop {
            let asked: Vec<I> = left.iter().filter_map(|at| items.get(*at).cloned()).collect();
            let ended = rules.attempt_each(ctx, asked, &call).await;
            let mut again = Vec::new();
            for (at, ended) in left.into_iter().zip(ended) {
                if ended.as_ref().is_err_and(|error| rules.is_worth_it(Outcome::of(error))) {
                    again.push(at);
                }
                done[at] = Some(ended);
            }
            left = again;
            let wait =
                waits.as_mut().filter(|_| !left.is_empty()).and_then(|waits| waits.next(retry::chance()));
            if !rules.wait(ctx, None, wait).await {
                let missing = || Err(Error::bug("a call of several items answered fewer than it was asked"));
                return done.into_iter().map(|ended| ended.unwrap_or_else(missing)).collect();
            }
        }
    }

    /// The same as [`Guard::run`] for a call whose ending the policies cannot judge themselves: `judge` does. `stop`
    /// ends the waits between attempts, not an attempt; the last ending is then the call's.
    pub async fn run_judged<T, E, F>(
        &self,
        ctx: &Ctx,
        stop: Option<&CancellationToken>,
        call: impl Fn(Ctx) -> F + Send,
        judge: impl Fn(&Result<T, E>) -> Outcome + Send,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let Some(rules) = &self.0 else { return call(ctx.clone()).await };
        let mut waits = rules.retry.as_ref().map(Waits::new);
        loop {
            let (ended, outcome) = rules.attempt(ctx, &call, &judge).await;
            let wait = waits
                .as_mut()
                .filter(|_| rules.is_worth_it(outcome))
                .and_then(|waits| waits.next(retry::chance()));
            if !rules.wait(ctx, stop, wait).await {
                return ended;
            }
        }
    }

    /// The same without another attempt, for a call that can be made only once.
    pub async fn run_once<T, E, F>(
        &self,
        ctx: &Ctx,
        call: impl FnOnce(Ctx) -> F + Send,
        judge: impl Fn(&Result<T, E>) -> Outcome + Send,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>> + Send,
    {
        match &self.0 {
            Some(rules) => rules.attempt(ctx, call, judge).await.0,
            None => call(ctx.clone()).await,
        }
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a call may be made more than once: what it needs is then to be kept.
    #[must_use]
    pub fn retries(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|rules| rules.retry.as_ref().is_some_and(|retry| retry.retries_max != Some(0)))
    }
}

impl Rules {
    fn is_worth_it(&self, outcome: Outcome) -> bool {
        let Outcome::Temporary(answer) = outcome else { return false };
        self.retry.as_ref().is_some_and(|retry| retry::is_worth_it(retry, answer))
    }

    /// One attempt within its time, if the breaker lets it through.
    async fn attempt<T, E, F>(
        &self,
        ctx: &Ctx,
        call: impl FnOnce(Ctx) -> F,
        judge: impl Fn(&Result<T, E>) -> Outcome,
    ) -> (Result<T, E>, Outcome)
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let permit = match self.breaker.as_ref().map(|breaker| breaker.enter()).transpose() {
            Ok(permit) => permit,
            Err(refused) => return (Err(refused.into()), Outcome::Permanent),
        };
        let (ended, outcome) = match timeout::within(self.timeout, ctx, call).await {
            Ok(ended) => {
                let outcome = judge(&ended);
                (ended, outcome)
            }
            Err(late) => (Err(late.into()), Outcome::Temporary(None)),
        };
        if let Some(permit) = permit {
            permit.tell(outcome == Outcome::Fine);
        }
        (ended, outcome)
    }

    /// The same for several items. It counts as failed when one of them did.
    async fn attempt_each<I, T, F>(
        &self,
        ctx: &Ctx,
        items: Vec<I>,
        call: &(impl Fn(Ctx, Vec<I>) -> F + Send),
    ) -> Vec<Result<T>>
    where
        F: Future<Output = Vec<Result<T>>>,
    {
        let count = items.len();
        let call = |ctx| {
            let ended = call(ctx, items);
            async { Ok(ended.await) }
        };
        let judge = |ended: &Result<Vec<Result<T>>>| {
            let failed = ended.iter().flatten().filter_map(|one| one.as_ref().err());
            failed.map(Outcome::of).find(|outcome| *outcome != Outcome::Fine).unwrap_or(Outcome::Fine)
        };
        match self.attempt(ctx, call, judge).await.0 {
            Ok(ended) => ended,
            Err(error) => {
                let same = || Error::new(error.code(), error.message()).with_retry(error.retry());
                (0..count).map(|_| Err(same())).collect()
            }
        }
    }

    /// Waits before the next attempt. Whether there is one: not without a wait, not after `stop`, and not when nobody
    /// waits for it any more.
    async fn wait(&self, ctx: &Ctx, stop: Option<&CancellationToken>, wait: Option<Duration>) -> bool {
        let Some(wait) = wait else { return false };
        if ctx.remaining(tokio::time::Instant::now().into_std()).is_some_and(|left| left <= wait) {
            return false;
        }
        tracing::debug!(of = %self.subject, wait_ms = wait.as_millis(), "a call failed; trying again");
        let Some(stop) = stop else {
            tokio::time::sleep(wait).await;
            return true;
        };
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}
