//! A group's place in its topic: what is done, what is being worked on, what is to come again. Pure: time is given.
//!
//! ```text
//!        floor                next            end of the topic
//!  … done │ ✓ w ✓ a ✓ l l w ✓ │ · · · · · · · │       w worked on   a to come again   l waits for its lane   ✓ done
//! ```
//! Of a lane one message at a time is out, so its order holds over all members and whatever they do.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages between the oldest that is not done and the newest that was looked at.
pub(crate) const WINDOW: u64 = 8_192;
/// The pause before a message comes again, for each time that it did; up to the longest.
const AGAIN_PAUSE: Duration = Duration::from_millis(20);
const AGAIN_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A group.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Every message below is done.
    pub(crate) floor: u64,
    /// What is done above the floor.
    done: BTreeSet<u64>,
    /// The first message that was not looked at yet.
    next: u64,
    out: HashMap<u64, Out>,
    /// To be handed out now, the oldest first.
    ready: BTreeSet<u64>,
    /// When something happens by itself.
    timers: BTreeSet<(Instant, u64)>,
    lanes: HashMap<u32, Lane>,
    held: HashMap<u64, usize>,
    turns: u64,
}

/// A message that is not done and was looked at.
#[derive(Clone, Copy, Debug)]
struct Out {
    lane: u32,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In `ready`.
    Ready,
    /// Comes again then.
    Paused(Instant),
    /// With a member, until then.
    Held { member: u64, until: Instant, turn: u64 },
}

#[derive(Debug)]
struct Lane {
    /// Messages of the lane behind the one that is out.
    waiting: VecDeque<u64>,
}

/// What is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) seq: u64,
    pub(crate) attempts: u32,
    pub(crate) lane: u32,
    /// Names this handing out among all of the message.
    pub(crate) turn: u64,
}

/// Who asks for a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: u64,
    /// How long it may hold a message.
    pub(crate) patience: Duration,
}

impl Progress {
    /// A group that is done with everything below `floor`, and with `done`.
    pub(crate) fn new(floor: u64, done: impl IntoIterator<Item = u64>) -> Self {
        let mut progress = Self { floor, next: floor, ..Self::default() };
        done.into_iter().for_each(|seq| progress.note_done(seq));
        progress
    }

    /// What is done above the floor.
    pub(crate) fn done_above(&self) -> Vec<u64> {
        self.done.iter().copied().collect()
    }

    /// How many messages the member holds.
    pub(crate) fn held_by(&self, member: u64) -> usize {
        self.held.get(&member).copied().unwrap_or(0)
    }

    /// When something happens by itself next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Hands a message below `end` out; `lane` tells a message's lane, `None` where there is no such message any more.
    pub(crate) fn take(
        &mut self,
        member: Member,
        now: Instant,
        end: u64,
        lane: impl Fn(u64) -> Option<u32>,
    ) -> Option<Handed> {
        self.fire(now);
        while let Some(seq) = self.ready.pop_first() {
            if let Some(out) = self.out.get(&seq).copied() {
                return Some(self.hand_out(seq, out, member, now));
            }
        }
        while self.next < end && self.next - self.floor < WINDOW {
            let seq = self.next;
            self.next += 1;
            if seq < self.floor || self.done.contains(&seq) {
                continue;
            }
            let Some(lane) = lane(seq) else {
                self.note_done(seq);
                continue;
            };
            if lane != 0 {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.waiting.push_back(seq);
                    continue;
                }
                self.lanes.insert(lane, Lane { waiting: VecDeque::new() });
            }
            let out = Out { lane, attempts: 0, state: State::Ready };
            return Some(self.hand_out(seq, out, member, now));
        }
        None
    }

    fn hand_out(&mut self, seq: u64, out: Out, member: Member, now: Instant) -> Handed {
        let until = now + member.patience;
        self.turns += 1;
        let turn = self.turns;
        self.out.insert(seq, Out { state: State::Held { member: member.id, until, turn }, ..out });
        self.timers.insert((until, seq));
        *self.held.entry(member.id).or_insert(0) += 1;
        Handed { seq, attempts: out.attempts, lane: out.lane, turn }
    }

    /// The message is done, whoever says so; `None` if it was already. What follows in the lane that it gives waits
    /// until that is freed: after a crash it would otherwise come before this one again.
    pub(crate) fn settle(&mut self, seq: u64) -> Option<u32> {
        if seq < self.floor || self.done.contains(&seq) {
            return None;
        }
        let out = self.out.remove(&seq);
        if let Some(out) = &out {
            self.withdraw(seq, out);
        }
        self.note_done(seq);
        Some(out.map_or(0, |out| out.lane))
    }

    /// The message is to come again after a pause; only for the handing out that was last.
    pub(crate) fn again(&mut self, seq: u64, turn: u64, now: Instant, pause: Option<Duration>) {
        let Some(out) = self.out.get(&seq).copied() else { return };
        if !matches!(out.state, State::Held { turn: last, .. } if last == turn) {
            return;
        }
        self.withdraw(seq, &out);
        let attempts = out.attempts.saturating_add(1);
        let grown = AGAIN_PAUSE.saturating_mul(attempts).min(AGAIN_PAUSE_MAX);
        let at = now + pause.unwrap_or(grown);
        self.out.insert(seq, Out { attempts, state: State::Paused(at), ..out });
        self.timers.insert((at, seq));
    }

    /// The member is gone: what it held comes again.
    pub(crate) fn leave(&mut self, member: u64) {
        let held = |out: &Out| matches!(out.state, State::Held { member: holder, .. } if holder == member);
        let left: Vec<u64> = self.out.iter().filter(|(_, out)| held(out)).map(|(seq, _)| *seq).collect();
        left.into_iter().for_each(|seq| self.make_ready(seq));
        self.held.remove(&member);
    }

    /// Lets happen what is due.
    fn fire(&mut self, now: Instant) {
        while let Some((at, seq)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.make_ready(seq);
        }
    }

    /// A message comes again now, from wherever it is.
    fn make_ready(&mut self, seq: u64) {
        let Some(out) = self.out.get(&seq).copied() else { return };
        self.withdraw(seq, &out);
        let was_held = matches!(out.state, State::Held { .. });
        let attempts = out.attempts.saturating_add(u32::from(was_held));
        self.out.insert(seq, Out { attempts, state: State::Ready, ..out });
        self.ready.insert(seq);
    }

    /// Takes the message out of whatever its state keeps.
    fn withdraw(&mut self, seq: u64, out: &Out) {
        match out.state {
            State::Ready => drop(self.ready.remove(&seq)),
            State::Paused(at) => drop(self.timers.remove(&(at, seq))),
            State::Held { member, until, .. } => {
                self.timers.remove(&(until, seq));
                if let Some(held) = self.held.get_mut(&member) {
                    *held = held.saturating_sub(1);
                }
            }
        }
    }

    /// The lane's next message has its turn.
    pub(crate) fn free_lane(&mut self, lane: u32) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        while let Some(seq) = known.waiting.pop_front() {
            if seq >= self.floor && !self.done.contains(&seq) {
                self.out.insert(seq, Out { lane, attempts: 0, state: State::Ready });
                self.ready.insert(seq);
                return;
            }
        }
        self.lanes.remove(&lane);
    }

    fn note_done(&mut self, seq: u64) {
        if seq < self.floor {
            return;
        }
        self.done.insert(seq);
        while self.done.remove(&self.floor) {
            self.floor += 1;
        }
        self.next = self.next.max(self.floor);
    }
}

#[cfg(test)]
mod tests;
