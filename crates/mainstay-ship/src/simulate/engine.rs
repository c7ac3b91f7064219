//! The simulation: a queue of events in milliseconds. Requests wait in one line, first come first served, as behind a
//! perfect balancer; replicas start, take requests, and go.
//!
//! At the same millisecond: what ends, then what starts, then who comes, then who gives up, then the policy.

pub(super) mod replicas;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use replicas::Replicas;

use super::policies::{Policy, View};
use super::series::{Gauges, Series};
use super::service::Service;
use super::trace::Trace;

/// How long what waits at the end of the trace may still take, in milliseconds: an hour. What waits then is never
/// served.
const DRAIN_MS_MAX: u64 = 3_600_000;
/// Replicas that any policy may ask for.
const REPLICAS_MAX: u32 = 10_000;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How long each request waited before it was worked on or refused, in milliseconds, in the order of the trace.
    pub waits_ms: Vec<u64>,
    /// Requests that were refused since no replica took them in time.
    pub refused: u64,
    /// Requests still waiting an hour after the trace's end.
    pub unserved: u64,
    /// How long each of these two kinds waited, in milliseconds.
    pub lost_waits_ms: Vec<u64>,
    /// Requests cut off since their replica's grace period was over.
    pub cut: u64,
    /// Requests that waited for a replica that was not ready when they came.
    pub cold: u64,
    /// Replicas started after the beginning.
    pub starts: u64,
    /// Changes of the number of replicas that was asked for.
    pub scale_events: u64,
    /// The most replicas asked for at once.
    pub peak: u32,
    /// Time that replicas existed within the trace's span, in replica-milliseconds.
    pub up_ms: u64,
    /// Each second of the trace.
    pub samples: Vec<Sample>,
}

/// The end of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that are worked on.
    pub running: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas that exist.
    pub up: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request is done, at this replica.
    Done(usize),
    /// A replica's grace period is over.
    Over(usize),
    /// A replica takes requests.
    Ready(usize),
    /// A request comes.
    Arrival(usize),
    /// A request gives up waiting.
    GivesUp(usize),
    /// The policy decides.
    Decide,
}

struct Engine<'a> {
    trace: &'a Trace,
    service: &'a Service,
    policy: &'a mut dyn Policy,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    replicas: Replicas,
    waiting: VecDeque<usize>,
    series: Series,
    outcome: Outcome,
    now_ms: u64,
}

pub(super) fn run(trace: &Trace, service: &Service, policy: &mut dyn Policy) -> Outcome {
    let initial = policy.initial().min(REPLICAS_MAX);
    let mut engine = Engine {
        trace,
        service,
        replicas: Replicas::new(service.concurrency, initial, policy.removal()),
        events: BinaryHeap::new(),
        waiting: VecDeque::new(),
        series: Series::new(trace.span_ms),
        outcome: Outcome { waits_ms: vec![0; trace.requests.len()], peak: initial, ..Outcome::default() },
        policy,
        now_ms: 0,
    };
    engine.go();
    engine.end()
}

impl Engine<'_> {
    fn go(&mut self) {
        if let Some(first) = self.trace.requests.first() {
            self.at(first.at_ms, Event::Arrival(0));
        }
        self.at(self.policy.period_ms(), Event::Decide);
        while let Some(Reverse((at_ms, event))) = self.events.pop() {
            if at_ms > self.trace.span_ms + DRAIN_MS_MAX {
                break;
            }
            self.series.advance(at_ms, self.gauges());
            self.now_ms = at_ms;
            match event {
                Event::Done(replica) => self.done(replica),
                Event::Over(replica) => self.outcome.cut += u64::from(self.replicas.cut(replica)),
                Event::Ready(replica) => {
                    self.replicas.ready(replica, at_ms);
                    self.place();
                }
                Event::Arrival(request) => self.arrival(request),
                Event::GivesUp(request) => self.gives_up(request),
                Event::Decide => {
                    let seen = View::new(self.now_ms, &self.replicas, self.gauges(), &self.series);
                    let wanted = self.policy.decide(&seen);
                    self.scale(wanted);
                    let idle = self.waiting.is_empty() && self.replicas.running_all() == 0;
                    if !(idle && at_ms >= self.trace.span_ms) {
                        self.at(at_ms + self.policy.period_ms(), Event::Decide);
                    }
                }
            }
        }
        self.series.advance(self.now_ms.max(self.trace.span_ms), self.gauges());
    }

    fn end(mut self) -> Outcome {
        for request in std::mem::take(&mut self.waiting) {
            self.outcome.unserved += 1;
            self.lost(request);
        }
        let span = usize::try_from(self.trace.span_ms / 1000).unwrap_or(usize::MAX);
        let seconds = self.series.seconds.iter().take(span);
        self.outcome.samples = seconds
            .map(|second| Sample {
                running: second.end.running + second.end.leaving,
                waiting: second.end.waiting,
                ready: second.end.ready,
                up: second.end.up,
            })
            .collect();
        self.outcome.up_ms = self.series.up_ms;
        self.outcome
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.events.push(Reverse((at_ms, event)));
    }

    fn gauges(&self) -> Gauges {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        Gauges { waiting, ..self.replicas.gauges() }
    }

    fn arrival(&mut self, request: usize) {
        self.series.arrived();
        self.waiting.push_back(request);
        if let Some(next) = self.trace.requests.get(request + 1) {
            self.at(next.at_ms, Event::Arrival(request + 1));
        }
        self.place();
        if self.waiting.is_empty() {
            return;
        }
        if let Some(patience) = self.policy.patience_ms() {
            self.at(self.now_ms + patience, Event::GivesUp(request));
        }
        let seen = View::new(self.now_ms, &self.replicas, self.gauges(), &self.series);
        if let Some(wanted) = self.policy.on_wait(&seen) {
            self.scale(wanted);
        }
    }

    fn done(&mut self, replica: usize) {
        // A replica that was cut off has lost its requests already.
        if self.replicas.done(replica) {
            self.place();
        }
    }

    /// Those who came first give up first, so whoever gives up stands at the head of the line, or was served.
    fn gives_up(&mut self, request: usize) {
        if self.waiting.front() == Some(&request) {
            self.waiting.pop_front();
            self.outcome.refused += 1;
            self.lost(request);
        }
    }

    fn lost(&mut self, request: usize) {
        let wait_ms = self.now_ms - self.trace.requests[request].at_ms;
        self.outcome.waits_ms[request] = wait_ms;
        self.outcome.lost_waits_ms.push(wait_ms);
    }

    /// Gives waiting requests to replicas that have room.
    fn place(&mut self) {
        while let Some(&index) = self.waiting.front() {
            let Some((replica, ready_ms)) = self.replicas.take() else { return };
            self.waiting.pop_front();
            let request = &self.trace.requests[index];
            self.outcome.waits_ms[index] = self.now_ms - request.at_ms;
            self.outcome.cold += u64::from(ready_ms > request.at_ms);
            self.at(self.now_ms + self.service.takes_ms(request), Event::Done(replica));
        }
    }

    fn scale(&mut self, wanted: u32) {
        let wanted = wanted.min(REPLICAS_MAX);
        let before = self.replicas.wanted();
        if wanted == before {
            return;
        }
        self.outcome.scale_events += 1;
        self.outcome.peak = self.outcome.peak.max(wanted);
        for _ in before..wanted {
            let replica = self.replicas.start();
            self.outcome.starts += 1;
            self.at(self.now_ms + self.service.start_ms, Event::Ready(replica));
        }
        let grace_ms = self.policy.grace_ms().unwrap_or(self.service.grace_ms);
        for _ in wanted..before {
            if let Some(leaving) = self.replicas.remove() {
                self.at(self.now_ms + grace_ms, Event::Over(leaving));
            }
        }
    }
}

#[cfg(test)]
mod tests;
