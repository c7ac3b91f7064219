//! What was seen second by second: the measurements that policies decide by, and later the chart.

/// A second as it passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    /// Requests in flight at replicas that take requests, waiting ones included, over the second, in
    /// request-milliseconds.
    pub(super) load_ms: u64,
    /// Those of them that are worked on.
    pub(super) running_ms: u64,
    /// Requests that came.
    pub(super) arrivals: u32,
    /// The gauges when the second ended.
    pub(super) end: Gauges,
}

/// Numbers at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Requests that are worked on by replicas that take requests.
    pub running: u32,
    /// Requests that are worked on by replicas that are going.
    pub leaving: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas that exist: starting, ready or going.
    pub up: u32,
}

impl Gauges {
    pub(super) fn load(&self) -> u32 {
        self.running + self.waiting
    }
}

/// Seconds up to now.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// Those that have passed.
    pub(super) seconds: Vec<Second>,
    current: Second,
    now_ms: u64,
    /// Time that replicas existed, up to `billed_until_ms`, in replica-milliseconds.
    pub(super) up_ms: u64,
    billed_until_ms: u64,
}

impl Series {
    pub(super) fn new(billed_until_ms: u64) -> Self {
        Self { billed_until_ms, ..Self::default() }
    }

    /// Goes on to `to_ms`; the gauges are those since the last step.
    pub(super) fn advance(&mut self, to_ms: u64, gauges: Gauges) {
        let billed = to_ms.min(self.billed_until_ms).saturating_sub(self.now_ms);
        self.up_ms += billed * u64::from(gauges.up);
        while self.now_ms < to_ms {
            let end = (self.now_ms / 1000 + 1) * 1000;
            let step = end.min(to_ms) - self.now_ms;
            self.current.load_ms += step * u64::from(gauges.load());
            self.current.running_ms += step * u64::from(gauges.running);
            self.now_ms += step;
            if self.now_ms == end {
                self.seconds.push(Second { end: gauges, ..self.current });
                self.current = Second::default();
            }
        }
    }

    pub(super) fn arrived(&mut self) {
        self.current.arrivals += 1;
    }

    /// The last `count` whole seconds; fewer at the beginning.
    pub(super) fn last(&self, count: u64) -> &[Second] {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        &self.seconds[self.seconds.len().saturating_sub(count)..]
    }

    /// The second that ended at `at_ms` or last before.
    pub(super) fn at(&self, at_ms: u64) -> Option<&Second> {
        let past = usize::try_from(at_ms / 1000).unwrap_or(usize::MAX);
        past.checked_sub(1).and_then(|index| self.seconds.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_hold_the_mean_and_the_end() {
        let gauges = |running, waiting, up| Gauges { running, waiting, up, ready: up, leaving: 0 };
        let mut series = Series::new(1500);
        series.arrived();
        series.advance(500, gauges(2, 0, 1));
        series.advance(2250, gauges(4, 1, 2));
        // First second: 0.5 s × 2 + 0.5 s × 5 in flight; the second one 5 throughout.
        assert_eq!(series.seconds.iter().map(|s| s.load_ms).collect::<Vec<_>>(), [3500, 5000]);
        assert_eq!(series.seconds[0].running_ms, 3000);
        assert_eq!((series.seconds[0].arrivals, series.seconds[0].end.load()), (1, 5));
        // Billed: 0.5 s × 1 + 1 s × 2, and nothing past 1.5 s.
        assert_eq!(series.up_ms, 2500);
        assert_eq!(series.last(1).len(), 1);
        assert_eq!(series.last(60).len(), 2);
        assert!(series.at(999).is_none() && series.at(3000).is_none());
        assert_eq!(series.at(1999).map(|s| s.load_ms), Some(3500));
    }
}
