//! The replicas: which of them take requests, and in which order they are given work and taken away.

use std::collections::BTreeSet;

use crate::simulate::policies::Removal;
use crate::simulate::series::Gauges;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    /// Takes requests, since then.
    Ready(u64),
    /// Takes none any more, and works on what it has.
    Leaving,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Replica {
    state: State,
    running: u32,
}

/// Every replica that ever was; an index names one for good.
#[derive(Debug)]
pub(in crate::simulate) struct Replicas {
    all: Vec<Replica>,
    starting: BTreeSet<usize>,
    /// Those that take requests, by what they have at work: the idlest is first.
    ready: BTreeSet<(u32, usize)>,
    concurrency: u32,
    removal: Removal,
    running: u32,
    leaving: u32,
    up: u32,
}

impl Replicas {
    pub(super) fn new(concurrency: u32, initial: u32, removal: Removal) -> Self {
        let all = vec![Replica { state: State::Ready(0), running: 0 }; initial as usize];
        let ready = (0..all.len()).map(|index| (0, index)).collect();
        let (starting, concurrency) = (BTreeSet::new(), concurrency.max(1));
        Self { all, starting, ready, concurrency, removal, running: 0, leaving: 0, up: initial }
    }

    /// Gauges of the replicas; nothing waits here.
    pub(super) fn gauges(&self) -> Gauges {
        let ready = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        Gauges { running: self.running, leaving: self.leaving, waiting: 0, ready, up: self.up }
    }

    /// How many there are to be: starting and ready.
    pub(in crate::simulate) fn wanted(&self) -> u32 {
        u32::try_from(self.starting.len() + self.ready.len()).unwrap_or(u32::MAX)
    }

    pub(in crate::simulate) fn starting(&self) -> u32 {
        u32::try_from(self.starting.len()).unwrap_or(u32::MAX)
    }

    /// Ready ones that were ready at `at_ms` already.
    pub(in crate::simulate) fn ready_by(&self, at_ms: u64) -> u32 {
        let by = |index: usize| matches!(self.all[index].state, State::Ready(since) if since <= at_ms);
        u32::try_from(self.ready.iter().filter(|(_, index)| by(*index)).count()).unwrap_or(u32::MAX)
    }

    /// Requests at work, with those of replicas that are going.
    pub(super) fn running_all(&self) -> u32 {
        self.running + self.leaving
    }

    pub(super) fn start(&mut self) -> usize {
        let index = self.all.len();
        self.all.push(Replica { state: State::Starting, running: 0 });
        self.starting.insert(index);
        self.up += 1;
        index
    }

    /// Unless it was taken away while it started.
    pub(super) fn ready(&mut self, index: usize, now_ms: u64) {
        if self.starting.remove(&index) {
            self.all[index].state = State::Ready(now_ms);
            self.ready.insert((0, index));
        }
    }

    /// Gives a request to the idlest replica that has room; since when it has been ready.
    pub(super) fn take(&mut self) -> Option<(usize, u64)> {
        let (running, index) =
            self.ready.first().copied().filter(|(running, _)| *running < self.concurrency)?;
        let State::Ready(since) = self.all[index].state else { return None };
        self.ready.remove(&(running, index));
        self.ready.insert((running + 1, index));
        self.all[index].running += 1;
        self.running += 1;
        Some((index, since))
    }

    /// A request is done; whether its replica was still there.
    pub(super) fn done(&mut self, index: usize) -> bool {
        let Replica { state, running } = self.all[index];
        match state {
            State::Ready(_) => {
                self.ready.remove(&(running, index));
                self.ready.insert((running - 1, index));
                self.running -= 1;
            }
            State::Leaving => {
                self.leaving -= 1;
                if running == 1 {
                    self.all[index].state = State::Gone;
                    self.up -= 1;
                }
            }
            State::Starting | State::Gone => return false,
        }
        self.all[index].running -= 1;
        true
    }

    /// Takes one away: the one that started last, else a ready one. That one, if it has requests to finish.
    pub(super) fn remove(&mut self) -> Option<usize> {
        if let Some(index) = self.starting.pop_last() {
            self.all[index].state = State::Gone;
            self.up -= 1;
            return None;
        }
        let (running, index) = match self.removal {
            Removal::Newest => self.ready.iter().copied().max_by_key(|(_, index)| *index),
            Removal::Idlest => self.ready.first().copied(),
        }?;
        self.ready.remove(&(running, index));
        self.running -= running;
        if running == 0 {
            self.all[index].state = State::Gone;
            self.up -= 1;
            return None;
        }
        self.all[index].state = State::Leaving;
        self.leaving += running;
        Some(index)
    }

    /// Its grace period is over; how many requests that cut off.
    pub(super) fn cut(&mut self, index: usize) -> u32 {
        let Replica { state, running } = self.all[index];
        if state != State::Leaving {
            return 0;
        }
        self.all[index] = Replica { state: State::Gone, running: 0 };
        self.leaving -= running;
        self.up -= 1;
        running
    }
}
