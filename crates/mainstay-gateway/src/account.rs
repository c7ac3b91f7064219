//! One record per model call, made once: at the end of its answer, at its failure, or when the caller goes away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use mainstay_core::model::{ModelEvent, Usage};
use mainstay_core::provider::WireFrame;
use mainstay_core::telemetry::{ModelReport, Telemetry};
use mainstay_core::{Code, Name, Result, metric};

/// A call at one target, from its start to its one report.
pub(crate) struct Account {
    telemetry: Arc<dyn Telemetry>,
    model: Name,
    provider: Name,
    started: Instant,
    first_byte: Option<Duration>,
    usage: Usage,
    settled: bool,
}

impl Account {
    pub(crate) fn open(telemetry: &Arc<dyn Telemetry>, model: &Name, provider: &Name) -> Self {
        Self {
            telemetry: Arc::clone(telemetry),
            model: model.clone(),
            provider: provider.clone(),
            started: Instant::now(),
            first_byte: None,
            usage: Usage::default(),
            settled: false,
        }
    }

    /// Reports the call; the first report is the only one.
    pub(crate) fn settle(&mut self, outcome: &str) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.telemetry.model(ModelReport {
            model: self.model.as_str(),
            provider: self.provider.as_str(),
            outcome,
            usage: self.usage,
            first_byte: self.first_byte,
            elapsed: self.started.elapsed(),
        });
    }

    /// The answer came whole and took so much.
    pub(crate) fn answered(&mut self, usage: Usage) {
        self.saw_byte();
        self.usage = usage;
        self.settle(metric::OUTCOME_OK);
    }

    fn saw_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| self.started.elapsed());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.settle(metric::OUTCOME_CLIENT_CLOSED);
    }
}

/// What is read from the items of an answer.
pub(crate) trait Metered {
    fn usage(&self) -> Option<Usage>;
    /// Whether it says why the answer ends.
    fn finishes(&self) -> bool;
    /// Whether it says nothing but that the provider is at work.
    fn is_only_life(&self) -> bool;
    /// What it reports the answer to have failed with.
    fn failure(&self) -> Option<&'static Code>;
}

impl Metered for WireFrame {
    fn usage(&self) -> Option<Usage> {
        self.tap.as_ref().and_then(|tap| tap.usage)
    }

    fn finishes(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.finish.is_some() || tap.failure.is_some())
    }

    fn is_only_life(&self) -> bool {
        self.bytes.is_empty() && self.tap.is_none()
    }

    fn failure(&self) -> Option<&'static Code> {
        self.tap.as_ref().and_then(|tap| tap.failure)
    }
}

impl Metered for ModelEvent {
    fn usage(&self) -> Option<Usage> {
        if let Self::Usage(usage) = self { Some(*usage) } else { None }
    }

    fn finishes(&self) -> bool {
        matches!(self, Self::Finish(_))
    }

    fn is_only_life(&self) -> bool {
        matches!(self, Self::Alive)
    }

    /// A failure comes as the stream's error.
    fn failure(&self) -> Option<&'static Code> {
        None
    }
}

/// An answer that settles its account when it ends, fails or is dropped.
pub(crate) struct Accounted<S> {
    inner: S,
    account: Account,
    /// What to report at a clean end; a failed wire answer ends cleanly too.
    outcome: &'static str,
}

impl<S> Accounted<S> {
    pub(crate) fn new(inner: S, account: Account, outcome: &'static str) -> Self {
        Self { inner, account, outcome }
    }
}

impl<S, T> Stream for Accounted<S>
where
    S: Stream<Item = Result<T>> + Unpin,
    T: Metered,
{
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(item))) => {
                this.account.saw_byte();
                if let Some(usage) = item.usage() {
                    this.account.usage = usage;
                }
                // Whoever reads of a failure stops reading, so this is the last that is heard of the call.
                if let Some(code) = item.failure() {
                    this.account.settle(code.id);
                }
            }
            Poll::Ready(Some(Err(error))) => this.account.settle(error.code().id),
            Poll::Ready(None) => this.account.settle(this.outcome),
            Poll::Pending => {}
        }
        polled
    }
}
