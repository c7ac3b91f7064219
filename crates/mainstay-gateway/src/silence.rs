//! The bound on silence inside an answer that has begun, for bytes that pass and for events alike. It does not bound an
//! answer's whole length, and the wait for its beginning is bounded elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use mainstay_core::{Error, Result, codes};
use tokio::time::{Instant, Sleep};

use crate::account::Metered;

/// An answer that fails when its provider falls silent. Signs of life are kept from whoever reads it.
pub(crate) struct Attended<S> {
    /// The answer; none once it is over, so that the call upstream ends too.
    inner: Option<S>,
    idle_timeout: Duration,
    /// Since when the provider is waited for. The time that a slow reader takes does not count.
    waiting_since: Option<Instant>,
    /// Set at the first wait. It may go off for a wait that is over; then it is set anew, which is cheaper than to
    /// set it with each item.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whether the answer has said why it ends: silence after that is an end.
    finished: bool,
}

impl<S> Attended<S> {
    pub(crate) fn new(inner: S, idle_timeout: Duration) -> Self {
        Self { inner: Some(inner), idle_timeout, waiting_since: None, alarm: None, finished: false }
    }

    /// Ready when the present wait has lasted too long.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let until = since + self.idle_timeout;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
    }

    fn silence(&self) -> Error {
        let seconds = self.idle_timeout.as_secs_f32();
        Error::new(
            &codes::PROVIDER_TIMEOUT,
            format!("the provider fell silent for {seconds} s in its answer"),
        )
    }
}

impl<S, T> Stream for Attended<S>
where
    S: Stream<Item = Result<T>> + Unpin,
    T: Metered,
{
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            match Pin::new(inner).poll_next(cx) {
                Poll::Ready(Some(Ok(item))) => {
                    this.waiting_since = None;
                    this.finished |= item.finishes();
                    if !item.is_only_life() {
                        return Poll::Ready(Some(Ok(item)));
                    }
                }
                Poll::Ready(last) => {
                    this.inner = None;
                    return Poll::Ready(last);
                }
                Poll::Pending => {
                    ready!(this.poll_alarm(cx));
                    this.inner = None;
                    return Poll::Ready((!this.finished).then(|| Err(this.silence())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use mainstay_core::model::{FinishReason, ModelEvent};

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// Events, each after so many seconds; what comes of them, and when that is over.
    async fn check(events: Vec<(u64, ModelEvent)>, hangs: bool, expect: (&str, u64)) {
        let timed = stream::iter(events).then(|(after, event)| async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            Ok(event)
        });
        let inner = if hangs { timed.chain(stream::pending()).boxed() } else { timed.boxed() };
        let began = Instant::now();
        let mut attended = Attended::new(inner, IDLE);
        let mut said = String::new();
        while let Some(event) = attended.next().await {
            match event {
                Ok(ModelEvent::Text(text)) => said.push_str(&text),
                Ok(ModelEvent::Finish(_)) => said.push('.'),
                Ok(other) => panic!("it is passed on: {other:?}"),
                Err(error) => said.push_str(error.code().id),
            }
        }
        assert!(attended.inner.is_none(), "the call upstream has ended");
        assert_eq!((said.as_str(), began.elapsed().as_secs()), expect);
    }

    fn text(text: &str) -> ModelEvent {
        ModelEvent::Text(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_falls_silent_fails_after_what_it_said() {
        check(vec![(9, text("a")), (9, text("b"))], true, ("abPROVIDER_TIMEOUT", 28)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_keep_an_answer_and_are_not_passed_on() {
        let life = || (9, ModelEvent::Alive);
        check(vec![(0, text("a")), life(), life(), life(), (9, text("b"))], false, ("ab", 36)).await;
        check(vec![(0, text("a")), life(), life()], true, ("aPROVIDER_TIMEOUT", 28)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_the_finish_is_an_end() {
        check(vec![(1, text("a")), (0, ModelEvent::Finish(FinishReason::Stop))], true, ("a.", 11)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_the_providers_silence() {
        let events = stream::iter([Ok(text("a")), Ok(text("b"))]);
        let mut attended = Attended::new(events, IDLE);
        for _ in 0..2 {
            assert!(matches!(attended.next().await, Some(Ok(ModelEvent::Text(_)))));
            tokio::time::sleep(IDLE * 3).await;
        }
        assert!(attended.next().await.is_none());
    }
}
