//! What reports move: counters, levels and histograms, under our names and under aliases alike.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use mainstay_core::model::Usage;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram::Histogram;

/// One class of tokens, read from a call's usage.
pub(crate) type TokensOf = fn(&Usage) -> u64;

/// Whole numbers that only grow.
pub(crate) type Count = Counter<u64, AtomicU64>;
/// Numbers that go up and down.
pub(crate) type Level = gauge::Gauge<i64, AtomicI64>;

/// Upper bounds, in seconds, of histograms of model calls, runs and requests: a slow model takes minutes.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A histogram of seconds up to five minutes.
pub(crate) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// What requests of one route, method and status move.
#[derive(Default)]
pub(crate) struct HttpMoved {
    pub(crate) counts: Vec<Count>,
    pub(crate) elapsed: Vec<Histogram>,
}

/// What model calls of one model, provider and outcome move.
#[derive(Default)]
pub(crate) struct ModelMoved {
    pub(crate) counts: Vec<Count>,
    pub(crate) elapsed: Vec<Histogram>,
    pub(crate) first_byte: Vec<Histogram>,
    /// Counters of tokens, each with the class that it counts.
    pub(crate) tokens: Vec<(TokensOf, Count)>,
}

impl HttpMoved {
    pub(crate) fn record(&self, elapsed: Duration) {
        count(&self.counts);
        observe(&self.elapsed, elapsed);
    }
}

impl ModelMoved {
    pub(crate) fn record(&self, elapsed: Duration, first_byte: Option<Duration>, usage: &Usage) {
        count(&self.counts);
        observe(&self.elapsed, elapsed);
        if let Some(first) = first_byte {
            observe(&self.first_byte, first);
        }
        for (class, count) in &self.tokens {
            count.inc_by(class(usage));
        }
    }
}

fn count(counts: &[Count]) {
    for count in counts {
        count.inc();
    }
}

fn observe(histograms: &[Histogram], elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    histograms.iter().for_each(|histogram| histogram.observe(seconds));
}
